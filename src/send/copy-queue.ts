// The rows of `sent_copies` as a queue of mailboxes. A copy under way is claimed for a while. A mailbox that cannot be used
// rests as a whole: each of its copies is claimed until the moment when it is due again, and nobody tries it before.
import type postgres from 'postgres';
import { dropBlobs } from '../db/blobs.ts';
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import type { MailBytes } from '../providers/mail-bytes.ts';
import { limitFor } from './time-limit.ts';
import { type CopyRow, copyBytes } from './waiting-copy.ts';

export interface Mailbox {
  readonly app: number;
  readonly grantId: string;
}

export interface Copy extends Mailbox {
  readonly messageId: string;
  readonly header: string;
  /** Null where its bytes have gone. */
  readonly raw: MailBytes | null;
  /** Its large attachments. */
  readonly blobs: readonly string[];
  /** Of its mailbox, while that could not be used; this one included. */
  readonly attempts: number;
  /** When it was made: if it cannot be kept now, it will not be. */
  readonly old: boolean;
  /** Whose claim it is, for one that ran out may be another's by now: its end as text, because a Date has no microseconds. */
  readonly claim: string;
}

/** What a try with a large mail may take besides. */
const LARGE_MS = limitFor(40 * 1024 * 1024, 0);
/** With the longest wait before the last try: a day and a half. */
export const OLD_MS = 33 * 3_600_000;

/** What is to be claimed; `mailbox`: of this one alone. */
export interface Wanted {
  readonly most: number;
  /** Of these at most so many that were tried before: their mailboxes may be silent, and hold the worker until it gives up. */
  readonly retries: number;
  /** Milliseconds; longer than a try. */
  readonly claimMs: number;
  readonly mailbox?: Mailbox;
}

/**
 * Claims due copies: one of a mailbox, none of a mailbox that is worked on or rests. The copies of an expired grant wait
 * for its renewal until they are old. New ones come first, otherwise in any order: by time, a mailbox with thousands of
 * copies would be served before everybody else, and within one a copy that always fails would be the only one tried. Old ones are decided on first.
 */
export async function claimDue(sql: Sql, { most, retries, claimMs, mailbox }: Wanted): Promise<Copy[]> {
  const here = mailbox ? sql`and s.app = ${mailbox.app} and s.grant_id = ${mailbox.grantId}` : sql``;
  const claimed = await sql<(Omit<Copy, 'raw' | 'blobs'> & CopyRow)[]>`
    update sent_copies c set attempts = c.attempts + 1, claimed_until = clock_timestamp()
      + ${ms(sql, claimMs)} + case when c.attached is null then interval '0' else ${ms(sql, LARGE_MS)} end
    from (
      select app, message_id from (
        select *, row_number() over (partition by attempts > 0 order by random()) as nth from (
          select distinct on (s.app, s.grant_id) s.app, s.message_id, s.attempts
          from sent_copies s left join grants g on g.app = s.app and g.id = s.grant_id
          where s.next_attempt_at <= now() and (s.claimed_until is null or s.claimed_until <= now())
            and (g.state is distinct from 'expired' or s.created_at < now() - ${ms(sql, OLD_MS)})
            and not exists (
              select from sent_copies o
              where o.app = s.app and o.grant_id = s.grant_id and o.claimed_until > now()
            ) ${here}
          order by s.app, s.grant_id, s.attempts desc, s.created_at < now() - ${ms(sql, OLD_MS)} desc, random()
        ) mailboxes
      ) shuffled
      where attempts = 0 or nth <= ${retries}::integer
      order by attempts > 0, nth limit ${most}
    ) due
    where c.app = due.app and c.message_id = due.message_id
      and (c.claimed_until is null or c.claimed_until <= now()) -- asked of the row anew where another was first
    returning c.app, c.message_id as "messageId", c.grant_id as "grantId", c.header, coalesce(c.raw, c.skeleton) as raw,
      c.attached, c.attempts, c.created_at < now() - ${ms(sql, OLD_MS)} as old, c.claimed_until::text as claim`;
  return await Promise.all(
    claimed.map(async (row) => ({ ...row, raw: await copyBytes(sql, row), blobs: blobsOf(row) })),
  );
}

/** It is done with, or given up. */
export async function drop(sql: Sql, { app, messageId, blobs }: Copy): Promise<void> {
  await transaction(sql, async (tx) => {
    const gone = await tx`delete from sent_copies where app = ${app} and message_id = ${messageId} returning app`;
    if (gone.length > 0) await dropBlobs(tx, app, blobs);
  });
}

/** This one alone is tried again later. */
export async function putOff(sql: Sql, copy: Copy, waitMs: number): Promise<void> {
  await sql`
    update sent_copies set claimed_until = null, next_attempt_at = now() + ${ms(sql, waitMs)}
    where ${claimed(sql, copy)}`;
}

/** As if it had not been claimed. */
export async function giveBack(sql: Sql, copy: Copy): Promise<void> {
  await sql`update sent_copies set claimed_until = null, attempts = attempts - 1 where ${claimed(sql, copy)}`;
}

/**
 * Puts off every copy of its mailbox together. Where this one is old, all old ones are given up instead, and their messages'
 * ids returned.
 */
export async function restMailbox(sql: Sql, copy: Copy, waitMs: number): Promise<readonly string[]> {
  const free = sql`app = ${copy.app} and grant_id = ${copy.grantId}
    and (claimed_until is null or claimed_until <= now() or ${claimed(sql, copy)})`;
  const gone = copy.old ? await dropOld(sql, copy.app, free) : [];
  await sql`
    update sent_copies set attempts = ${copy.attempts}, next_attempt_at = now() + ${ms(sql, waitMs)},
      claimed_until = now() + ${ms(sql, waitMs)}
    where ${free}`;
  return gone;
}

/** Returns their messages' ids. */
async function dropOld(sql: Sql, app: number, free: postgres.PendingQuery<postgres.Row[]>): Promise<string[]> {
  return await transaction(sql, async (tx) => {
    const gone = await tx<({ id: string } & Pick<CopyRow, 'attached'>)[]>`
      delete from sent_copies where ${free} and created_at < now() - ${ms(sql, OLD_MS)}
      returning message_id as id, attached`;
    await dropBlobs(tx, app, gone.flatMap(blobsOf));
    return gone.map(({ id }) => id);
  });
}

function blobsOf({ attached }: Pick<CopyRow, 'attached'>): string[] {
  return (attached ?? []).map(({ blob }) => blob);
}

/** Ends the rest of mailboxes whose grants were authenticated, deleted, or otherwise changed, since it began. */
export async function wakeChanged(sql: Sql, schedule: readonly number[]): Promise<void> {
  const waits = sql`${[...schedule]}::integer[]`;
  await sql`
    update sent_copies c set next_attempt_at = now(), claimed_until = null
    from grants g
    where c.claimed_until > now() and c.claimed_until = c.next_attempt_at
      and g.app = c.app and g.id = c.grant_id and g.state <> 'expired'
      and g.updated_at > c.claimed_until
        - (${waits})[least(c.attempts, ${schedule.length}::integer)] * interval '1 millisecond'`;
}

function claimed(sql: Sql, { app, messageId, claim }: Copy) {
  return sql`(app = ${app} and message_id = ${messageId} and claimed_until::text = ${claim})`;
}

function ms(sql: Sql, value: number) {
  return sql`${value}::float8 * interval '1 millisecond'`;
}
