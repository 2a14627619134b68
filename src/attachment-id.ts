import { createHash } from 'node:crypto';
import { uuidText, wireId } from './ids.ts';

/** On the wire: follows from the mail's wire id and the place among its attachments, so that no row has to keep it. */
export function attachmentId(mail: string, index: number): string {
  const digest = createHash('sha256').update(`${mail} ${index}`).digest();
  return wireId('att', uuidText(digest.subarray(0, 16)));
}
