// The queue: `pending_deliveries`.
import type { Sql } from '../db/pool.ts';
import { uuidTime, wireId } from '../ids.ts';
import type { DestinationKind } from './destination.ts';

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
  /** How many are claimed already; 0 when not given. */
  readonly inFlight?: number;
  readonly isSlow?: boolean;
}

export interface ClaimOrder {
  readonly kinds: readonly DestinationKind[];
  /** For destinations that are not in `rooms`; none of them is slow. */
  readonly freshRoom: number;
  readonly rooms: readonly Room[];
  /** Of destinations that are not slow, all together. */
  readonly limit: number;
  /** Of the slow ones, all together; 0 when not given. */
  readonly slowLimit?: number;
  readonly now: Date;
  readonly until: Date;
}

/**
 * Claims what is due, of each destination its oldest. Top-k per destination by the index (destination_id,
 * next_attempt_at, notification_id): over a million rows of one dead destination about 1 ms; one global order took 517 ms in
 * a prototype. Nothing in it lets the planner prefer the primary key or the whole table: joined by key, a claim took
 * 200 ms after a million rows had been analyzed, and without `app` there is but one index to read the queue by.
 * Where the limit does not do for all, those come first of whose destination the fewest are under way: a long queue
 * never pushes a short one aside. A claimed notification takes in no later events any more. In the order in which they were made.
 */
export async function claim(sql: Sql, order: ClaimOrder): Promise<Claim[]> {
  return sql<Claim[]>`
    with room as (
      select * from unnest(
        ${order.rooms.map((room) => room.destinationId)}::uuid[],
        ${order.rooms.map((room) => room.free)}::integer[],
        ${order.rooms.map((room) => room.inFlight ?? 0)}::integer[],
        ${order.rooms.map((room) => (room.isSlow ? 1 : 0))}::integer[]
      ) as room (destination_id, free, in_flight, is_slow)
    ), oldest as (
      select p.*, coalesce(room.is_slow, 0) = 1 as is_slow,
        coalesce(room.in_flight, 0) + row_number() over (
          partition by p.destination_id order by p.next_attempt_at, p.notification_id
        ) as place
      from destinations d
      left join room on room.destination_id = d.id
      cross join lateral (
        select ctid, destination_id, notification_id, next_attempt_at from pending_deliveries
        where destination_id = d.id and next_attempt_at <= ${order.now}
        order by next_attempt_at, notification_id
        limit coalesce(room.free, ${order.freshRoom})
        for update skip locked
      ) p
      where d.kind = any(${[...order.kinds]}) and d.status in ('active', 'failing')
    ), due as (
      select ctid from (
        select *, row_number() over (partition by is_slow order by place, next_attempt_at, notification_id) as turn
        from oldest
      ) queued
      where turn <= case when is_slow then ${order.slowLimit ?? 0} else ${order.limit} end::integer
    ), claimed as (
      update pending_deliveries p
      set attempts = least(p.attempts + 1, 32767), claimed_until = ${order.until}, next_attempt_at = ${order.until}
      where p.ctid = any(array(select ctid from due)) -- locked above, so they stay where they are
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
    from claimed
    order by notification_id`;
}

/** Undoes claims that were not attempted. Due again as before: from when they were made, those tried before at once. */
export async function release(sql: Sql, claims: readonly Claim[], now: number): Promise<void> {
  const due = claims.map(({ attempt, notificationId }) => (attempt === 1 ? uuidTime(notificationId) : now));
  await sql`
    update pending_deliveries p
    set attempts = p.attempts - 1, claimed_until = null, next_attempt_at = r.due_at
    from unnest(
      ${claims.map(({ app }) => app)}::integer[],
      ${claims.map(({ destinationId }) => destinationId)}::uuid[],
      ${claims.map(({ notificationId }) => notificationId)}::uuid[],
      ${claims.map(({ round }) => round)}::smallint[],
      ${claims.map(({ attempt }) => attempt)}::smallint[],
      ${due.map((ms) => new Date(ms).toISOString())}::timestamptz[]
    ) as r (app, destination_id, notification_id, round, attempt, due_at)
    where p.app = r.app and p.destination_id = r.destination_id and p.notification_id = r.notification_id
      and p.round = r.round and p.attempts = r.attempt`;
}

/** Of the destinations that are served, those whose last attempt failed. The newest failures first. */
export async function readFailing(sql: Sql, limit: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select d.id from destination_counters c
    join destinations d on d.app = c.app and d.id = c.destination_id
    where d.status in ('active', 'failing') and c.last_failure_at > coalesce(c.last_success_at, '-infinity')
    order by c.last_failure_at desc
    limit ${limit}`;
  return rows.map(({ id }) => id);
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
