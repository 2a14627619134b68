import { createHash } from 'node:crypto';
import { uuidText, wireId } from '../ids.ts';
import type { MailHead } from '../providers/watch.ts';

/**
 * The thread of a mail that belongs to none of ours, as the wire has it: it follows from the mail with which the
 * conversation began, so that no row has to keep it.
 */
export function conversationId(grantId: string, head: MailHead, mark: Buffer): string {
  const first = head.references[0] ?? head.inReplyTo[0] ?? head.messageId ?? mark.toString('hex');
  const digest = createHash('sha256').update(`${grantId} ${first}`).digest();
  return wireId('thr', uuidText(digest.subarray(0, 16)));
}
