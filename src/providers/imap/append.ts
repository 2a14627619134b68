import { headOf, type MailBytes, UnreadableMail } from '../mail-bytes.ts';
import type { CopyOutcome } from '../provider.ts';
import { appendStreamed } from './append-streamed.ts';
import { createOwn } from './own-folder.ts';
import { type ImapFailure, mayPass, readFailure } from './problem.ts';
import type { OwnUse, Session } from './session.ts';
import { Refused } from './wire.ts';

export interface Appended {
  readonly use: OwnUse;
  /** Of the folder of that use. */
  readonly path: string;
  readonly flags: readonly string[];
  readonly raw: MailBytes;
}

/** Makes the folder anew where it has gone. Throws what {@link refusal} reads. */
export async function append(session: Session, { use, path, flags, raw }: Appended): Promise<void> {
  const { client } = session;
  const date = dateOf(headOf(raw));
  const write = async (to: string): Promise<void> => {
    if (!Buffer.isBuffer(raw)) return await appendStreamed(client, { path: to, flags, date, mail: raw });
    const kept = await client.append(to, raw, [...flags], date);
    if (kept === false) throw new Error('the connection was closed');
  };
  try {
    await write(path);
  } catch (error) {
    if (readFailure(error).code !== 'TRYCREATE') throw error;
    await write(await createOwn(session, use));
  }
}

/** When the mail says it was written; without that the server takes the time of the copying. */
function dateOf(head: Buffer): Date | undefined {
  const end = head.indexOf('\r\n\r\n');
  const header = head.subarray(0, end < 0 ? head.length : end).toString('latin1');
  const date = new Date(/^date:[ \t]*(.+)$/im.exec(header)?.[1]?.trim() ?? '');
  return Number.isNaN(date.getTime()) ? undefined : date;
}

const FULL_TEXT = /quota|mailbox (is )?full|(disk|storage|mailbox|not enough|insufficient).{0,20}(full|space|storage)/i;

/** Why a mail was not kept, or others not removed. */
export function refusal(error: unknown): CopyOutcome {
  if (error instanceof UnreadableMail) return { kind: 'unreachable', reason: 'the mail could not be read to its end' };
  const failure = error instanceof Refused ? error.failure : readFailure(error);
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
