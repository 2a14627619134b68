import type { CopyOutcome, FindOutcome, SentCopy } from '../provider.ts';
import { type ImapFailure, mayPass, readFailure } from './problem.ts';
import { createSent, openSent } from './sent-folder.ts';
import type { Session } from './session.ts';

/** Hits are compared one by one, newest first; more than a few come only from servers that search loosely. */
const MOST_COMPARED = 50;

/** Whether a mail with this Message-ID lies in Sent; `absent` is only as good as the server is at keeping copies itself. */
export async function findInSent(session: Session, messageId: string): Promise<FindOutcome> {
  const path = await openSent(session);
  if (path === null) return { kind: 'unsure' };
  return (await holds(session, messageId)) ? { kind: 'found', messageId } : { kind: 'absent' };
}

/** Puts a copy into Sent unless it lies there. Never throws once something may have been appended. */
export async function keepInSent(session: Session, copy: SentCopy): Promise<CopyOutcome> {
  let path = await openSent(session);
  if (path === null) {
    try {
      path = await createSent(session);
    } catch (error) {
      return refusal(error);
    }
  } else if (await holds(session, copy.messageId)) {
    return { kind: 'there' };
  }
  try {
    await append(session, path, copy);
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

async function append(session: Session, path: string, copy: SentCopy): Promise<void> {
  const write = async (to: string): Promise<void> => {
    const kept = await session.client.append(to, copy.raw, ['\\Seen'], dateOf(copy.raw));
    if (kept === false) throw new Error('the connection was closed');
  };
  try {
    await write(path);
  } catch (error) {
    if (readFailure(error).code !== 'TRYCREATE') throw error;
    await write(await createSent(session));
  }
}

/** When the mail says it was written; without that the server takes the time of the copying. */
function dateOf(raw: Buffer): Date | undefined {
  const end = raw.indexOf('\r\n\r\n');
  const header = raw.subarray(0, end < 0 ? raw.length : end).toString('latin1');
  const date = new Date(/^date:[ \t]*(.+)$/im.exec(header)?.[1]?.trim() ?? '');
  return Number.isNaN(date.getTime()) ? undefined : date;
}

const FULL_TEXT = /quota|mailbox (is )?full|(disk|storage|mailbox|not enough|insufficient).{0,20}(full|space|storage)/i;

function refusal(error: unknown): CopyOutcome {
  const failure = readFailure(error);
  return { kind: refusalKind(failure), reason: reasonOf(failure) };
}

/** By response code (RFC 5530, RFC 7889), and by the words of servers that send none. */
function refusalKind(failure: ImapFailure): 'full' | 'refused' | 'unreachable' {
  // No answer: perhaps it was appended, and the next call will look for it first.
  if (failure.status === '' && failure.code !== 'APPENDLIMIT') return 'unreachable';
  if (failure.code === 'OVERQUOTA') return 'full';
  if ((failure.code === '' || failure.code === 'ALERT') && FULL_TEXT.test(failure.text)) return 'full';
  // LIMIT is about time at the login, and here about the mail or the folder.
  return failure.code !== 'LIMIT' && mayPass(failure) ? 'unreachable' : 'refused';
}

function reasonOf({ status, code, text }: ImapFailure): string {
  if (code === 'APPENDLIMIT' && status === '') return 'the mail is larger than the server keeps';
  if (status === '') return `the connection ended before the server answered${text === '' ? '' : `: ${text}`}`;
  return `the server did not keep the copy: ${text === '' ? status : text}`;
}
