import type { FetchMessageObject } from 'imapflow';
import { parseHead } from '../mail-head.ts';
import { HEAD_FIELDS, type MailHead } from '../watch.ts';
import { fetchMails, fieldsOf, LONGEST_HEAD, marks } from './fetched.ts';
import { type ImapFailure, mayPass } from './problem.ts';
import { atom, Refused, type Wire } from './wire.ts';

export interface FetchedHead {
  readonly uid: number;
  readonly receivedAt: Date;
  readonly size: number;
  readonly threadKey: string | null;
  readonly flags: ReadonlySet<string>;
  /** Gmail's. */
  readonly labels: ReadonlySet<string>;
  readonly head: MailHead;
}

export interface Heads {
  /** By UID, ascending; mails that have gone are missing. */
  readonly heads: readonly FetchedHead[];
  /** Mails that are there, and that the server gives in no way that makes sense. */
  readonly unreadable: readonly number[];
  /** Mails that it refuses to give while it gives others. */
  readonly refused: readonly number[];
}

const ENDLESS = new Set(['references', 'to', 'cc', 'bcc']);
/** Beyond these a server refuses every mail, and not one that it cannot read. */
const MOST_REFUSALS = 40;

/** Reads heads in the selected folder by one FETCH; by more where a mail among them cannot be read, or has a very long head. */
export async function fetchHeads(wire: Wire, uids: readonly number[]): Promise<Heads> {
  const found = new Map<number, FetchMessageObject>();
  const refused: number[] = [];
  const waiting: (readonly number[])[] = [uids];
  const ask = async (some: readonly number[]): Promise<void> => {
    const items = [...marks(wire.client), fieldsOf(wire, HEAD_FIELDS)];
    for (const [uid, mail] of await fetchMails(wire, some, items)) {
      // Without a head it is only that some other flags were told of meanwhile.
      if (Buffer.isBuffer(mail.headers)) found.set(uid, mail);
    }
  };
  for (let refusals = 0; ; ) {
    const some = waiting.pop();
    if (some === undefined) break;
    try {
      await ask(some);
    } catch (error) {
      if (!(error instanceof Refused) || isForNow(error.failure) || ++refusals > MOST_REFUSALS) throw error;
      if (refusals === 1 && error.failure.status === 'BAD' && (await isGivenWhole(wire, () => ask(some)))) continue;
      const half = some.length >> 1;
      if (half > 0) waiting.push(some.slice(half), some.slice(0, half));
      else if (error.failure.status === 'NO') refused.push(...some);
    }
  }
  // An answer that cannot be taken apart is dropped by imapflow, and looks as if the mail had gone.
  const missing = uids.filter((uid) => !found.has(uid) && !refused.includes(uid));
  const unreadable = await fetchMails(wire, missing, [atom('UID')]);

  const blocks = new Map([...found].map(([uid, { headers }]) => [uid, headers ?? Buffer.alloc(0)]));
  const heads = await wholeHeads(wire, blocks);
  return {
    heads: [...found]
      .sort(([one], [other]) => one - other)
      .map(([uid, mail]) => fetchedHead(uid, mail, heads.get(uid) ?? parseHead(Buffer.alloc(0)))),
    unreadable: [...unreadable.keys()].sort((one, other) => one - other),
    refused,
  };
}

/** A server that understands no parts of fields would seem to have nothing but mails that it cannot give. */
async function isGivenWhole(wire: Wire, ask: () => Promise<void>): Promise<boolean> {
  if (!wire.knowsParts) return false;
  wire.knowsParts = false;
  try {
    await ask();
    return true;
  } catch (error) {
    if (!(error instanceof Refused) || isForNow(error.failure)) throw error;
    wire.knowsParts = true;
    return false;
  }
}

/** Said of the server and not of a mail; Dovecot has an internal error where a mail is damaged. */
function isForNow(failure: ImapFailure): boolean {
  return mayPass(failure) && failure.code !== 'SERVERBUG' && !/internal error/i.test(failure.text);
}

/**
 * Reads head blocks of at most {@link LONGEST_HEAD} bytes, by UID. Where one is that long it was cut: what stands
 * behind the endless fields is fetched without them.
 */
export async function wholeHeads(wire: Wire, blocks: ReadonlyMap<number, Buffer>): Promise<Map<number, MailHead>> {
  const heads = new Map([...blocks].map(([uid, block]) => [uid, parseHead(block)]));
  const cut = [...blocks].filter(([, block]) => block.length >= LONGEST_HEAD).map(([uid]) => uid);
  if (cut.length === 0) return heads;
  const bounded = HEAD_FIELDS.filter((name) => !ENDLESS.has(name));
  for (const [uid, { headers }] of await fetchMails(wire, cut, [atom('UID'), fieldsOf(wire, bounded)])) {
    const head = heads.get(uid);
    if (head !== undefined && headers !== undefined) heads.set(uid, joined(head, parseHead(headers)));
  }
  return heads;
}

/** `rest` has no endless fields, of which `cut` has the beginning. */
function joined(cut: MailHead, rest: MailHead): MailHead {
  const named = new Set(HEAD_FIELDS.filter((name) => !ENDLESS.has(name)));
  return {
    ...rest,
    references: cut.references,
    to: cut.to,
    cc: cut.cc,
    bcc: cut.bcc,
    fields: [...rest.fields, ...cut.fields.filter(([name]) => !named.has(name))],
  };
}

function fetchedHead(uid: number, mail: FetchMessageObject, head: MailHead): FetchedHead {
  return {
    uid,
    receivedAt: receivedAt(mail, head),
    size: mail.size ?? 0,
    threadKey: mail.threadId || null,
    flags: mail.flags ?? new Set(),
    labels: mail.labels ?? new Set(),
    head,
  };
}

export function receivedAt({ internalDate }: FetchMessageObject, { writtenAt }: MailHead): Date {
  if (internalDate instanceof Date && !Number.isNaN(internalDate.getTime())) return internalDate;
  return writtenAt ?? new Date();
}
