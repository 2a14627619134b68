import type { CopyOutcome, FindOutcome, SentCopy } from '../provider.ts';
import { append, refusal } from './append.ts';
import { createOwn, openOwn } from './own-folder.ts';
import type { Session } from './session.ts';

/** Hits are compared one by one, newest first; more than a few come only from servers that search loosely. */
const MOST_COMPARED = 50;

/** Whether a mail with this Message-ID lies in Sent; `absent` is only as good as the server is at keeping copies itself. */
export async function findInSent(session: Session, messageId: string): Promise<FindOutcome> {
  const path = await openOwn(session, 'Sent');
  if (path === null) return { kind: 'unsure' };
  return (await holds(session, messageId)) ? { kind: 'found', messageId } : { kind: 'absent' };
}

/** Puts a copy into Sent unless it lies there. Never throws once something may have been appended. */
export async function keepInSent(session: Session, copy: SentCopy): Promise<CopyOutcome> {
  let path = await openOwn(session, 'Sent');
  if (path === null) {
    try {
      path = await createOwn(session, 'Sent');
    } catch (error) {
      return refusal(error);
    }
  } else if (await holds(session, copy.messageId)) {
    return { kind: 'there' };
  }
  try {
    await append(session, { use: 'Sent', path, flags: ['\\Seen'], raw: copy.raw });
  } catch (error) {
    return refusal(error);
  }
  return { kind: 'kept' };
}

async function holds({ client }: Session, messageId: string): Promise<boolean> {
  const hits = await client.search({ header: { 'Message-ID': messageId } }, { uid: true });
  // imapflow answers false for a refused command as for a lost connection.
  if (!Array.isArray(hits)) throw new Error('the server did not search');
  const newest = hits.slice(-MOST_COMPARED);
  if (newest.length === 0) return false;
  // SEARCH looks for a part of the header (RFC 9051 section 6.4.4).
  const mails = await client.fetchAll(newest, { uid: true, envelope: true }, { uid: true });
  return mails.some(({ envelope }) => envelope?.messageId === messageId);
}
