// The rows of `schedules` as a queue. A schedule under way is claimed for a while by its next try lying ahead; just before
// its mail is handed over the message becomes `sending`, which happens once: from then on nobody tries it again.
import { gather } from '../db/gather.ts';
import type { Query, Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { putBack, release } from '../tracking/scheduled-messages.ts';
import { cancelOrphans, closeRested, SHOWN_HOURS } from './schedules.ts';
import { mailFromText, type StoredOutgoing } from './stored-mail.ts';

export interface Due {
  readonly app: number;
  readonly id: string;
  readonly grantId: string;
  readonly messageId: string;
  readonly sendAt: Date;
  readonly mail: StoredOutgoing;
  readonly trackedBody: string | null;
  /** Of its mail, as it is stored. */
  readonly bytes: number;
  /** How often it was put off. */
  readonly attempts: number;
  /** Later than it may leave. */
  readonly late: boolean;
  /** Whose claim it is: its end as text, because a Date has no microseconds. */
  readonly claim: string;
}

/** Longer than it takes to compose a mail. */
const CLAIM_MS = 120_000;
const AT_ONCE = 50;
const CLOSED_AT_ONCE = 200;

export interface Wanted {
  readonly most: number;
  /** Of their mails: one that would begin beyond it waits. */
  readonly bytes: number;
  /** Of one grant, those that are under way included. */
  readonly ofAGrant: number;
  /** How many of each grant are under way. */
  readonly underWay: ReadonlyMap<string, number>;
  /** Milliseconds after its time that a mail may leave. */
  readonly graceMs: number;
}

/** The shares of grants are dealt among so many times what is wanted: one with thousands due hides nobody for long. */
const DEALT = 16;

/** Claims what is due, the oldest first. */
export async function claimDue(sql: Sql, { most, bytes, ofAGrant, underWay, graceMs }: Wanted): Promise<Due[]> {
  const full = [...underWay].flatMap(([grantId, count]) => (count >= ofAGrant ? grantId : []));
  const rows = await sql<(Omit<Due, 'mail'> & { readonly mail: string })[]>`
    with oldest as (
      select app, id, grant_id, next_try_at, ${size(sql)} as bytes from schedules s
      where next_try_at <= now() and not grant_id = any(${full}::uuid[])
      order by next_try_at limit ${most * DEALT}
    ), dealt as (
      select *, row_number() over (partition by grant_id order by next_try_at) + coalesce(count, 0) as nth
      from oldest left join unnest(${[...underWay.keys()]}::uuid[], ${[...underWay.values()]}::integer[])
        as busy (grant_id, count) using (grant_id)
    ), fitting as (
      select app, id, sum(bytes) over (order by next_try_at, id) - bytes as before
      from dealt where nth <= ${ofAGrant}::integer
    ), due as (
      select s.app, s.id from schedules s join fitting on fitting.app = s.app and fitting.id = s.id
      -- No index is to help here: with old statistics all that is due was read for each of them, 3.6 s for 50,000.
      where before < ${bytes}::bigint and coalesce(s.next_try_at, 'infinity') <= now()
      order by s.next_try_at limit ${most} for update of s skip locked
    )
    update schedules s set next_try_at = clock_timestamp() + ${ms(sql, CLAIM_MS)}
    from due where s.app = due.app and s.id = due.id
    returning s.app, s.id, s.grant_id as "grantId", s.message_id as "messageId", s.send_at as "sendAt", s.mail,
      s.tracked_body as "trackedBody", ${size(sql)} as bytes, s.attempts, s.send_at < now() - ${ms(sql, graceMs)} as late,
      s.next_try_at::text as claim`;
  return rows.map((row) => ({ ...row, mail: mailFromText(row.mail) }));
}

/**
 * Lets claimed mails go, many at once together: true for one that is `sending` from now on, and this caller's to hand over;
 * false where the claim ran out or the schedule was cancelled.
 */
export function makeRelease(sql: Sql): (due: Due) => Promise<boolean> {
  return gather<Due, boolean>({
    atOnce: AT_ONCE,
    isTheirs: () => false,
    run: (all) => transaction(sql, (tx) => releaseAll(tx, all)),
  });
}

async function releaseAll(tx: Query, all: readonly Due[]): Promise<boolean[]> {
  const mine = await tx<{ id: string }[]>`
    update schedules s set next_try_at = null
    from unnest(${all.map(({ app }) => app)}::integer[], ${all.map(({ id }) => id)}::uuid[],
      ${all.map(({ claim }) => claim)}::text[]) as claimed (app, id, claim)
    where s.app = claimed.app and s.id = claimed.id and s.next_try_at::text = claimed.claim
    returning s.id`;
  const ids = new Set(mine.map(({ id }) => id));
  const held = all.filter(({ id }) => ids.has(id));
  const released = await release(
    tx,
    held.map(({ app, messageId }) => ({ app, id: messageId })),
  );
  return all.map(({ id, messageId }) => ids.has(id) && released.has(messageId));
}

/** One whose mail certainly did not go out is tried again after `waitMs`; false where its message came to rest otherwise. */
export async function putOff(sql: Sql, { app, id, messageId }: Due, waitMs: number): Promise<boolean> {
  return await transaction(sql, async (tx) => {
    const [row] = await tx`select from schedules where app = ${app} and id = ${id} and mail is not null for update`;
    if (row === undefined || !(await putBack(tx, { app, id: messageId }))) return false;
    await tx`
      update schedules set attempts = attempts + 1, next_try_at = now() + ${ms(sql, waitMs)}
      where app = ${app} and id = ${id}`;
    return true;
  });
}

/** As if it had not been claimed. */
export async function giveBack(sql: Sql, { app, id, claim }: Due): Promise<void> {
  await sql`update schedules set next_try_at = now() where app = ${app} and id = ${id} and next_try_at::text = ${claim}`;
}

/** Erases the mails of messages that came to rest where nobody did so, and of deleted grants; forgets what is shown no more. */
export async function tidySchedules(sql: Sql): Promise<void> {
  while ((await cancelOrphans(sql, CLOSED_AT_ONCE)) === CLOSED_AT_ONCE);
  while ((await closeRested(sql, CLOSED_AT_ONCE)) === CLOSED_AT_ONCE);
  while ((await forget(sql)) === CLOSED_AT_ONCE);
}

async function forget(sql: Sql): Promise<number> {
  const forgotten = await sql`
    delete from schedules where (app, id) in (
      select app, id from schedules where closed_at < now() - ${SHOWN_HOURS}::float8 * interval '1 hour'
      order by closed_at limit ${CLOSED_AT_ONCE} for update skip locked)
    returning id`;
  return forgotten.length;
}

/** Without reading them. */
function size(sql: Query) {
  return sql`octet_length(s.mail) + coalesce(octet_length(s.tracked_body), 0)`;
}

function ms(sql: Query, value: number) {
  return sql`${value}::float8 * interval '1 millisecond'`;
}
