// The queue: `pending_deliveries`, and the history that deliveries leave behind.
import type { Sql } from '../db/pool.ts';
import { wireId } from '../ids.ts';
import type { DestinationKind, Outcome } from './destination.ts';
import type { Verdict } from './retry.ts';

/** A delivery that is ours until `claimedUntil`; only the result of this attempt will be accepted. */
export interface Claim {
  readonly app: number;
  readonly destinationId: string;
  readonly notificationId: string;
  /** 0, and one more each time the delivery was begun anew. */
  readonly round: number;
  /** From 1 in each round. */
  readonly attempt: number;
}

export interface Room {
  readonly destinationId: string;
  /** How many deliveries of it may be claimed, 0 for none. */
  readonly free: number;
}

export interface ClaimOrder {
  readonly kinds: readonly DestinationKind[];
  /** For destinations that are not in `rooms`. */
  readonly freshRoom: number;
  readonly rooms: readonly Room[];
  readonly limit: number;
  readonly now: Date;
  readonly until: Date;
}

/**
 * Claims what is due, of each destination its oldest. Top-k per destination by the index (destination_id,
 * next_attempt_at): over a million rows of one dead destination about 1 ms; one global order took 517 ms in a prototype.
 * A claimed notification takes in no later events any more.
 */
export async function claim(sql: Sql, order: ClaimOrder): Promise<Claim[]> {
  return sql<Claim[]>`
    with room as (
      select * from unnest(
        ${order.rooms.map((room) => room.destinationId)}::uuid[],
        ${order.rooms.map((room) => room.free)}::integer[]
      ) as room (destination_id, free)
    ), due as (
      select p.app, p.destination_id, p.notification_id
      from destinations d
      left join room on room.destination_id = d.id
      cross join lateral (
        select app, destination_id, notification_id, next_attempt_at from pending_deliveries
        where destination_id = d.id and app = d.app and next_attempt_at <= ${order.now}
        order by next_attempt_at
        limit coalesce(room.free, ${order.freshRoom})
        for update skip locked
      ) p
      where d.kind = any(${[...order.kinds]}) and d.status in ('active', 'failing')
      order by p.next_attempt_at
      limit ${order.limit}
    ), claimed as (
      update pending_deliveries p
      set attempts = least(p.attempts + 1, 32767), claimed_until = ${order.until}, next_attempt_at = ${order.until}
      from due
      where p.app = due.app and p.destination_id = due.destination_id and p.notification_id = due.notification_id
      returning p.app, p.destination_id, p.notification_id, p.round, p.attempts
    ), closing as (
      select c.app, c.message_id, c.trigger from coalescing_notifications c
      where c.notification_id in (select notification_id from claimed)
      order by c.app, c.message_id, c.trigger -- as fan-out locks them
      for update
    ), closed as (
      delete from coalescing_notifications c using closing
      where c.app = closing.app and c.message_id = closing.message_id and c.trigger = closing.trigger
    )
    select app, destination_id as "destinationId", notification_id as "notificationId", round, attempts as attempt
    from claimed`;
}

export interface Settlement {
  readonly claim: Claim;
  readonly outcome: Outcome;
  readonly verdict: Verdict;
  readonly startedAt: Date;
  readonly durationMs: number;
}

/**
 * Records attempts and moves their deliveries on: to rest, or back into the queue. A result whose claim was lost to a
 * later attempt is recorded and moves nothing. Answers those that moved; may run twice, the second run moves nothing.
 */
export async function settle(
  sql: Sql,
  settlements: readonly Settlement[],
  now: Date,
): Promise<ReadonlySet<Settlement>> {
  const rows = await sql<{ at: string }[]>`
    with result as (
      select * from unnest(
        ${settlements.map(({ claim }) => claim.app)}::integer[],
        ${settlements.map(({ claim }) => claim.destinationId)}::uuid[],
        ${settlements.map(({ claim }) => claim.notificationId)}::uuid[],
        ${settlements.map(({ claim }) => claim.round)}::smallint[],
        ${settlements.map(({ claim }) => claim.attempt)}::smallint[],
        ${settlements.map(({ verdict }) => (verdict.kind === 'retry' ? null : verdict.kind))}::text[],
        ${settlements.map(({ verdict }) => (verdict.kind === 'retry' ? new Date(verdict.at).toISOString() : null))}::timestamptz[],
        ${settlements.map(({ outcome }) => outcome.kind)}::text[],
        ${settlements.map(({ outcome }) => outcome.status)}::smallint[],
        ${settlements.map(({ startedAt }) => startedAt.toISOString())}::timestamptz[],
        ${settlements.map(({ durationMs }) => Math.round(durationMs))}::integer[],
        ${settlements.map(({ outcome }) => outcome.answer)}::text[]
      ) with ordinality as result (app, destination_id, notification_id, round, attempt, state, next_attempt_at, outcome,
        status_code, started_at, duration_ms, answer, at)
    ), logged as (
      insert into attempts (app, destination_id, notification_id, round, attempt, outcome, status_code, started_at,
        duration_ms, answer)
      select app, destination_id, notification_id, round, attempt, outcome, status_code, started_at, duration_ms, answer
      from result
      on conflict do nothing
    ), rested as (
      delete from pending_deliveries p using result r
      where p.app = r.app and p.destination_id = r.destination_id and p.notification_id = r.notification_id
        and p.round = r.round and p.attempts = r.attempt and r.state is not null
      returning p.app, p.destination_id, p.notification_id, p.round, p.attempts, r.state, r.at
    ), history as (
      insert into deliveries (app, destination_id, notification_id, state, round, attempts, settled_at)
      select app, destination_id, notification_id, state, round, attempts, ${now} from rested
      on conflict (app, destination_id, notification_id) do update set
        state = excluded.state, round = excluded.round, attempts = excluded.attempts, settled_at = excluded.settled_at
    ), waiting as (
      update pending_deliveries p set next_attempt_at = r.next_attempt_at, claimed_until = null
      from result r
      where p.app = r.app and p.destination_id = r.destination_id and p.notification_id = r.notification_id
        and p.round = r.round and p.attempts = r.attempt and r.state is null
      returning r.at
    )
    select at from rested union all select at from waiting`;
  return new Set(rows.flatMap(({ at }) => settlements[Number(at) - 1] ?? []));
}

/**
 * Moves a delivery on without writing its history: for a result that no history table takes, as when the partitions of
 * its notification were dropped. Answers whether it moved.
 */
export async function settleUnrecorded(sql: Sql, { claim, verdict }: Settlement): Promise<boolean> {
  const ours = sql`
    where app = ${claim.app} and destination_id = ${claim.destinationId} and notification_id = ${claim.notificationId}
      and round = ${claim.round} and attempts = ${claim.attempt}
    returning app`;
  const moved =
    verdict.kind === 'retry'
      ? await sql`
        update pending_deliveries set next_attempt_at = ${new Date(verdict.at)}, claimed_until = null ${ours}`
      : await sql`delete from pending_deliveries ${ours}`;
  return moved.length > 0;
}

/** A claim as logs name it. */
export function namesOf({
  app,
  destinationId,
  notificationId,
  round,
  attempt,
}: Claim): Record<string, string | number> {
  return { app, webhook: wireId('wh', destinationId), notification: wireId('ntf', notificationId), round, attempt };
}

const COUNTED = 100_000;

/** For people: counts no further than 100,000. */
export async function countPending(sql: Sql): Promise<number> {
  const [row] = await sql<{ pending: number }[]>`
    select count(*)::integer as pending from (select from pending_deliveries limit ${COUNTED}) p`;
  return row?.pending ?? 0;
}
