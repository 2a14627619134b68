// The sender's own copy of a mail, put into Sent where the server keeps none. A row of `sent_copies` is the job.
import { isConnectionLost, type Sql, type Tx } from '../db/pool.ts';
import { findGrant, type Grant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import type { Log } from '../log.ts';
import type { CopyOutcome } from '../providers/provider.ts';
import { type GrantMailboxDeps, openMailbox } from './grant-mailbox.ts';

export interface SentCopiesDeps extends GrantMailboxDeps {
  readonly log: Log;
  readonly pollMs?: number;
  /** Milliseconds to the first and to each further try. */
  readonly schedule?: readonly number[];
}

/** Plain numbers, only ever moved here. */
export interface CopyCounts {
  /** Put into Sent by us. */
  kept: number;
  /** The server had one already. */
  there: number;
  retried: number;
  givenUp: number;
}

export interface SentCopies {
  readonly counts: CopyCounts;
  /** Resolves when what is under way has ended, at the latest after `CUT_MS`. */
  close(): Promise<void>;
}

interface Copy {
  readonly app: number;
  readonly messageId: string;
  readonly grantId: string;
  readonly header: string;
  readonly raw: Buffer;
  /** This one included. */
  readonly attempts: number;
}

const MINUTE = 60_000;
/** The first look comes late enough for a server that keeps a copy itself to have done so; a full mailbox gets a day. */
const SCHEDULE = [3_000, MINUTE, 10 * MINUTE, 60 * MINUTE, 6 * 60 * MINUTE, 24 * 60 * MINUTE];
const POLL_MS = 1_000;
const TRY_MS = 30_000;
const CLAIM_MS = 2 * TRY_MS;
/** Mails of 25 MB lie in memory meanwhile. */
const AT_ONCE = 4;
const CUT_MS = 2_000;

export interface NewSentCopy {
  readonly app: number;
  /** UUIDv7 of the message. */
  readonly message: string;
  readonly grantId: string;
  /** The Message-ID it left with. */
  readonly messageId: string;
  readonly raw: Buffer;
}

/** In the transaction that says the mails were sent. */
export async function putSentCopies(tx: Tx, copies: readonly NewSentCopy[]): Promise<void> {
  await Promise.all(
    copies.map(
      ({ app, message, grantId, messageId, raw }) => tx`
        insert into sent_copies (app, message_id, grant_id, header, raw, next_attempt_at)
        values (${app}, ${message}, ${grantId}, ${messageId}, ${raw},
          now() + ${FIRST_MS}::float8 * interval '1 millisecond')
        on conflict do nothing`,
    ),
  );
}

const FIRST_MS = SCHEDULE[0] ?? 0;

/** Works off the copies that are due. Several processes may run it: each copy is claimed by one. */
export function startSentCopies(deps: SentCopiesDeps): SentCopies {
  const counts: CopyCounts = { kept: 0, there: 0, retried: 0, givenUp: 0 };
  const cut = new AbortController();
  let closing = false;
  let timer: NodeJS.Timeout | undefined;
  let pass: Promise<void> = Promise.resolve();

  const run = async (): Promise<void> => {
    try {
      while (!closing && (await keepDue(deps, counts, cut.signal)) === AT_ONCE);
    } catch (error) {
      if (!isConnectionLost(error)) deps.log.warn({ err: error }, 'sent_copies.failed');
    }
    if (closing) return;
    timer = setTimeout(start, deps.pollMs ?? POLL_MS);
    timer.unref();
  };
  const start = (): void => {
    pass = run();
  };
  start();
  return {
    counts,
    async close() {
      closing = true;
      clearTimeout(timer);
      const late = setTimeout(() => cut.abort(), CUT_MS);
      await pass;
      clearTimeout(late);
    },
  };
}

/** One round; returns how many copies were looked at. */
export async function keepDue(deps: SentCopiesDeps, counts: CopyCounts, cut: AbortSignal): Promise<number> {
  const copies = await claim(deps.sql);
  await Promise.all(copies.map((copy) => keep(deps, counts, copy, cut)));
  return copies.length;
}

async function keep(deps: SentCopiesDeps, counts: CopyCounts, copy: Copy, cut: AbortSignal): Promise<void> {
  const grant = await findGrant(deps.sql, copy.app, copy.grantId);
  if (grant === null) return await drop(deps.sql, copy); // erased with its grant
  const outcome = await attempt(deps, grant, copy, cut);
  const names = { app: copy.app, grant: copy.grantId, message: wireId('msg', copy.messageId), outcome: outcome.kind };
  if (outcome.kind === 'kept' || outcome.kind === 'there') {
    counts[outcome.kind] += 1;
    deps.log.info(names, 'sent_copy.kept');
    return await drop(deps.sql, copy);
  }
  const wait = (deps.schedule ?? SCHEDULE)[copy.attempts];
  if (outcome.kind === 'refused' || wait === undefined) {
    counts.givenUp += 1;
    deps.log.error({ ...names, reason: outcome.reason, attempts: copy.attempts }, 'sent_copy.given_up');
    return await drop(deps.sql, copy);
  }
  counts.retried += 1;
  deps.log.warn({ ...names, reason: outcome.reason, attempts: copy.attempts }, 'sent_copy.retried');
  await deps.sql`
    update sent_copies set claimed_until = null, next_attempt_at = now() + ${wait}::float8 * interval '1 millisecond'
    where app = ${copy.app} and message_id = ${copy.messageId} and attempts = ${copy.attempts}`;
}

async function attempt(deps: SentCopiesDeps, grant: Grant, copy: Copy, cut: AbortSignal): Promise<CopyOutcome> {
  if (grant.state !== 'valid') return { kind: 'unauthorised', reason: 'the grant has expired' };
  try {
    const mailbox = await openMailbox(deps, grant);
    if (mailbox === null) return { kind: 'unauthorised', reason: 'the grant has no credentials' };
    const signal = AbortSignal.any([AbortSignal.timeout(TRY_MS), cut]);
    const outcome = await mailbox.keepCopy({ messageId: copy.header, raw: copy.raw }, signal);
    await mailbox.keepRenewed(outcome);
    return outcome;
  } catch (error) {
    if (isConnectionLost(error)) throw error; // ours, not the mailbox's: the claim runs out
    deps.log.error({ app: grant.app, message: wireId('msg', copy.messageId), err: error }, 'sent_copy.threw');
    return { kind: 'unreachable', reason: 'the provider could not be asked' };
  }
}

async function claim(sql: Sql): Promise<Copy[]> {
  return await sql<Copy[]>`
    update sent_copies c
    set attempts = c.attempts + 1, claimed_until = now() + ${CLAIM_MS}::float8 * interval '1 millisecond'
    from (
      select app, message_id from sent_copies
      where next_attempt_at <= now() and (claimed_until is null or claimed_until < now())
      order by next_attempt_at limit ${AT_ONCE} for update skip locked
    ) due
    where c.app = due.app and c.message_id = due.message_id
    returning c.app, c.message_id as "messageId", c.grant_id as "grantId", c.header, c.raw, c.attempts`;
}

async function drop(sql: Sql, copy: Copy): Promise<void> {
  await sql`delete from sent_copies where app = ${copy.app} and message_id = ${copy.messageId}`;
}
