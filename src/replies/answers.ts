// Which mails of a page answer a tracked message, and how.

import type { Sql } from '../db/pool.ts';
import type { Grant } from '../grants/grants.ts';
import type { FoundMail, WatchedMailbox } from '../providers/watch.ts';
import type { OpenMessages, TrackedRow } from '../tracking/threads.ts';
import type { TokenKeys } from '../tracking/token.ts';
import { type AnswerClass, classify, isBounceSuspect, type Judgement } from './answer-class.ts';
import { type Bounce, readBounce } from './bounce.ts';
import {
  type Match,
  matchByHeaders,
  matchByMessageId,
  matchByThreadKeys,
  matchByToken,
  matchWithin,
  quotesLikely,
} from './match.ts';
import { type OwnAddresses, ownAddresses } from './own-address.ts';

export interface Answer {
  readonly mail: FoundMail;
  readonly match: Match;
  readonly class: AnswerClass;
  /** How it was matched, and why it is of its class. */
  readonly reasons: readonly string[];
  readonly bounce: Bounce | null;
}

export interface AnswerDeps {
  readonly sql: Sql;
  readonly keys: TokenKeys;
}

export interface Ground {
  readonly grant: Grant;
  readonly mailbox: Pick<WatchedMailbox, 'beginnings'>;
  /** What answers are waited for. */
  readonly open: OpenMessages;
  /** Messages of ours that lie in the mailbox themselves. */
  readonly own: ReadonlyMap<FoundMail, TrackedRow>;
}

/** A delivery report or a quotation stands within this; the token of a quoted mail lies near its beginning. */
const OPENED_BYTES = 256 * 1024;
/** What one exchange may bring at most. */
const BYTES_AT_ONCE = 4 * 1024 * 1024;
/**
 * A mail that answers something unknown may quote us under a changed subject. So many of a page are opened to see: those
 * that arrive one by one. In a page of hundreds, after an absence, only those with the subject of an open message are.
 */
const OPENED_OF_UNKNOWN = 50;

/** In the order of the mails. Throws `WatchBroken` when the mailbox has gone. */
export async function findAnswers(deps: AnswerDeps, ground: Ground, mails: readonly FoundMail[]): Promise<Answer[]> {
  const { grant, own, open } = ground;
  const where = { app: grant.app, grantId: grant.id, grantSerial: grant.serial };
  const matches = await matchByHeaders(deps.sql, where, mails);
  const found = new Map<FoundMail, Match>();
  keep(found, mails, matches);

  const strangers = mails.filter((mail) => !mail.isSent && !own.has(mail));
  const suspects = new Set(strangers.filter(isBounceSuspect));
  const bounces = new Map<FoundMail, Bounce>();
  for await (const [mail, raw] of opened(ground, toOpen(strangers, suspects, found, open))) {
    const bounce = suspects.has(mail) ? readBounce(raw) : null;
    if (bounce !== null) bounces.set(mail, bounce);
    const original = bounce?.originalMessageId ?? null;
    const match =
      (original === null ? null : await matchByMessageId(deps.sql, where, original)) ??
      found.get(mail) ??
      (await matchByToken(deps, where, raw));
    if (match !== null) found.set(mail, match);
  }
  if (found.size > 0) keep(found, mails, matchWithin(mails, found));
  const left = mails.filter((mail) => mail.threadKey !== null && !found.has(mail) && !own.has(mail));
  if (left.length > 0) keep(found, left, await matchByThreadKeys(deps.sql, where, left));

  const mine = ownAddresses(grant);
  return mails.flatMap((mail) => {
    const match = found.get(mail);
    if (match === undefined) return [];
    const bounce = bounces.get(mail) ?? null;
    const judged = own.has(mail) ? judgedOwn(mail, mine) : classify(mail, mine, bounce);
    const reasons = [`by_${match.by}`, ...judged.reasons];
    return [{ mail, match, class: judged.class, reasons, bounce }];
  });
}

/** Whoever sent it on, and whoever else put our Message-ID above a mail: what bears it is no answer of somebody else. */
function judgedOwn(mail: FoundMail, mine: OwnAddresses): Judgement {
  const judged = classify(mail, mine, null);
  return judged.class === 'self' ? judged : { class: 'self', reasons: ['own_message_id'] };
}

function keep(found: Map<FoundMail, Match>, mails: readonly FoundMail[], matches: readonly (Match | null)[]): void {
  for (const [at, match] of matches.entries()) {
    const mail = mails[at];
    if (match !== null && mail !== undefined) found.set(mail, match);
  }
}

function toOpen(
  mails: readonly FoundMail[],
  suspects: ReadonlySet<FoundMail>,
  found: ReadonlyMap<FoundMail, Match>,
  open: OpenMessages,
): FoundMail[] {
  const likely = mails.map((mail) => (found.has(mail) ? null : quotesLikely(mail, open.subjects)));
  const budget = likely.filter((why) => why === 'answers').length <= OPENED_OF_UNKNOWN;
  return mails.filter(
    (mail, at) => suspects.has(mail) || likely[at] === 'subject' || (likely[at] === 'answers' && budget),
  );
}

/** The beginnings of mails in few exchanges; no more of them lie in memory than one exchange brings. */
async function* opened({ mailbox }: Ground, mails: readonly FoundMail[]): AsyncGenerator<readonly [FoundMail, Buffer]> {
  for (const batch of batches(mails)) {
    const raws = await mailbox.beginnings(
      batch.map(({ place }) => place),
      OPENED_BYTES,
    );
    for (const mail of batch) {
      const raw = raws.get(mail.place);
      if (raw !== undefined) yield [mail, raw];
    }
  }
}

function batches(mails: readonly FoundMail[]): FoundMail[][] {
  const made: FoundMail[][] = [];
  let room = 0;
  for (const mail of mails) {
    const size = Math.min(mail.size, OPENED_BYTES);
    const last = made.at(-1);
    if (last === undefined || size > room) {
      made.push([mail]);
      room = BYTES_AT_ONCE - size;
    } else {
      last.push(mail);
      room -= size;
    }
  }
  return made;
}
