import { lowestId } from '../db/partitions.ts';
import type { Sql } from '../db/pool.ts';
import { REST_STATES } from './replay.ts';
import { type IdRange, type Page, readPage } from './windows.ts';

export const DELIVERY_STATES = ['pending', ...REST_STATES] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** A delivery as its owner sees it. */
export interface Delivery {
  readonly notificationId: string;
  /** Null where the notification itself is gone, as are the next two. */
  readonly trigger: string | null;
  readonly messageId: string | null;
  readonly grantId: string | null;
  readonly state: DeliveryState;
  /** 0, and one more each time it was begun anew. */
  readonly round: number;
  /** Of this round. */
  readonly attempts: number;
  /** Null at rest, and while an attempt is under way. */
  readonly nextAttemptAt: Date | null;
  /** When it came to rest, null before. */
  readonly settledAt: Date | null;
  /** The newest that is over, of whichever round; null before the first. */
  readonly lastAttempt: Pick<Attempt, 'attempt' | 'outcome' | 'status' | 'startedAt'> | null;
}

export interface Attempt {
  readonly round: number;
  /** From 1 in each round. */
  readonly attempt: number;
  readonly outcome: string;
  readonly status: number | null;
  /** The first bytes of the answer, or why there was none. */
  readonly answer: string;
  readonly startedAt: Date;
  readonly durationMs: number;
}

/** By when the notifications were made, in Unix milliseconds: from `since` on, before `until`. */
export interface ListOrder {
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  readonly triggers?: readonly string[] | undefined;
  readonly messageId?: string | undefined;
  /** The `next` of an earlier page. */
  readonly before?: string | undefined;
  readonly limit: number;
}

export interface DeliveryOrder extends ListOrder {
  readonly state?: DeliveryState | undefined;
}

type Fragment = ReturnType<Sql>;

const LOWEST_ID = '00000000-0000-0000-0000-000000000000';
const HIGHEST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
const MOST_ATTEMPTS = 1_000;

/** The deliveries of a destination, newest notification first. */
export async function listDeliveries(
  sql: Sql,
  app: number,
  destinationId: string,
  order: DeliveryOrder,
): Promise<Page<Delivery>> {
  const { state, messageId, triggers } = order;
  const ours: Fragment = sql`app = ${app} and destination_id = ${destinationId}`;
  const scope: Scope = {
    pending: state === undefined || state === 'pending' ? sql`pending_deliveries where ${ours}` : null,
    resting: // the second as the partial index has it
      state === 'pending'
        ? null
        : state === undefined || state === 'delivered'
          ? sql`deliveries d where ${ours}`
          : sql`deliveries d where ${ours} and state <> 'delivered'`,
  };
  // Where every row counts nothing is looked at in vain.
  const isUnfiltered = triggers === undefined && (state === undefined || state === 'pending');
  const edge = async (range: IdRange, rows: number): Promise<string | null> => {
    if (messageId !== undefined) return await messageEdge(sql, app, messageId, range, rows);
    return isUnfiltered ? null : await edgeOf(sql, scope, range, rows);
  };
  const read = (range: IdRange, most: number): Promise<Delivery[]> => readRange(sql, app, scope, order, range, most);
  return await readPage({ edge, read }, rangeOf(order), order.limit);
}

/** The tables to look at, and the rows of the destination in them. */
interface Scope {
  readonly pending: Fragment | null;
  readonly resting: Fragment | null;
}

async function edgeOf(sql: Sql, { pending, resting }: Scope, range: IdRange, rows: number): Promise<string | null> {
  const nth: Fragment = sql`and ${within(sql, range)} order by notification_id desc offset ${rows - 1} limit 1`;
  const nthOf = (table: Fragment | null): Fragment =>
    table === null ? sql`null::uuid` : sql`(select notification_id from ${table} ${nth})`;
  const [row] = await sql<{ id: string | null }[]>`select greatest(${nthOf(pending)}, ${nthOf(resting)}) as id`;
  return row?.id ?? null;
}

async function readRange(
  sql: Sql,
  app: number,
  { pending, resting }: Scope,
  { state, messageId, triggers }: DeliveryOrder,
  range: IdRange,
  most: number,
): Promise<Delivery[]> {
  const ofMessage: Fragment =
    messageId === undefined
      ? sql``
      : sql`and notification_id = any(array(
          select id from notifications
          where app = ${app} and message_id = ${messageId} and id >= ${range.from} and id < ${range.before}))`;
  const ofTriggers: Fragment =
    triggers === undefined
      ? sql``
      : sql`and (select trigger from notifications n where n.app = ${app} and n.id = notification_id)
          = any(${[...triggers]}::text[])`;
  const chosen: Fragment = sql`and ${within(sql, range)} ${ofMessage} ${ofTriggers}`;
  const newest: Fragment = sql`order by notification_id desc limit ${most}`;
  const waiting: Fragment =
    pending === null ? sql`` : sql`(select ${pendingColumns(sql)} from ${pending} ${chosen} ${newest})`;
  const rested: Fragment =
    resting === null
      ? sql``
      : sql`(
          select ${restingColumns(sql)} from ${resting} ${chosen} ${state === undefined ? sql`` : sql`and state = ${state}`}
            and (
              select true from pending_deliveries p
              where p.app = d.app and p.destination_id = d.destination_id and p.notification_id = d.notification_id
            ) is null
          ${newest})`;
  const rows = await sql<Unread<Delivery>[]>`
    select delivery.*, told.*, last.*
    from (
      select * from (${waiting} ${pending !== null && resting !== null ? sql`union all` : sql``} ${rested}) found
      order by "notificationId" desc limit ${most}
    ) delivery
    left join lateral ${told(sql, app)} told on true
    left join lateral ${lastAttempt(sql, app)} last on true
    order by delivery."notificationId" desc`;
  return rows.map(withLastAttempt);
}

/** One delivery and its attempts, oldest first: the last 1,000. Null where there is none. */
export async function readDelivery(
  sql: Sql,
  app: number,
  destinationId: string,
  notificationId: string,
): Promise<{ readonly delivery: Delivery; readonly attempts: readonly Attempt[] } | null> {
  const ours: Fragment = sql`app = ${app} and destination_id = ${destinationId} and notification_id = ${notificationId}`;
  const [row] = await sql<Unread<Delivery>[]>`
    select delivery.*, told.*, last.*
    from (
      select ${pendingColumns(sql)}, 0 as place from pending_deliveries where ${ours}
      union all
      select ${restingColumns(sql)}, 1 from deliveries where ${ours}
    ) delivery
    left join lateral ${told(sql, app)} told on true
    left join lateral ${lastAttempt(sql, app)} last on true
    order by delivery.place limit 1`;
  if (row === undefined) return null;
  // After the state: what made it so was written together with it, and is never missing then.
  const attempts = await sql<Attempt[]>`
    select round, attempt, outcome, status_code as status, answer, started_at as "startedAt", duration_ms as "durationMs"
    from attempts where ${ours}
    order by round desc, attempt desc limit ${MOST_ATTEMPTS}`;
  return { delivery: withLastAttempt(row), attempts: [...attempts].reverse() };
}

/** Where the 5,000th notification of a message lies. */
async function messageEdge(
  sql: Sql,
  app: number,
  messageId: string,
  range: IdRange,
  rows: number,
): Promise<string | null> {
  const [row] = await sql<{ id: string }[]>`
    select id from notifications
    where app = ${app} and message_id = ${messageId} and id >= ${range.from} and id < ${range.before}
    order by id desc offset ${rows - 1} limit 1`;
  return row?.id ?? null;
}

export function rangeOf({ since, until, before }: ListOrder): IdRange {
  const end = until === undefined ? HIGHEST_ID : lowestId(until);
  return {
    from: since === undefined ? LOWEST_ID : lowestId(since),
    before: before !== undefined && before < end ? before : end,
  };
}

/** What a notification `n` tells of. By look-up, which no planner makes a join of: it might read a whole table for it. */
export function toldColumns(sql: Sql): ReturnType<Sql> {
  return sql`n.trigger, n.message_id as "messageId", case when n.message_id is null then n.subject
    else (select m.grant_id::text from messages m where m.app = n.app and m.id = n.message_id) end as "grantId"`;
}

/** The same of a row `delivery`. */
function told(sql: Sql, app: number): Fragment {
  return sql`(select ${toldColumns(sql)} from notifications n where n.app = ${app} and n.id = delivery."notificationId" limit 1)`;
}

interface LastColumns {
  readonly lastNumber: number | null;
  readonly lastOutcome: string | null;
  readonly lastStatus: number | null;
  readonly lastStartedAt: Date | null;
}

/** As the database answers what becomes a delivery. */
export type Unread<T extends Pick<Delivery, 'lastAttempt'>> = Omit<T, 'lastAttempt'> & LastColumns;

/** The last attempt of a row `delivery`: one step through the primary key. */
export function lastAttempt(sql: Sql, app: number): ReturnType<Sql> {
  return sql`(
    select attempt as "lastNumber", outcome as "lastOutcome", status_code as "lastStatus", started_at as "lastStartedAt"
    from attempts a
    where a.app = ${app} and a.destination_id = delivery."destinationId" and a.notification_id = delivery."notificationId"
    order by round desc, attempt desc limit 1)`;
}

export function withLastAttempt<Row extends LastColumns>({
  lastNumber: attempt,
  lastOutcome: outcome,
  lastStatus: status,
  lastStartedAt: startedAt,
  ...rest
}: Row): Omit<Row, keyof LastColumns> & Pick<Delivery, 'lastAttempt'> {
  const none = attempt === null || outcome === null || startedAt === null;
  return { ...rest, lastAttempt: none ? null : { attempt, outcome, status, startedAt } };
}

/** Pending and resting rows under the same names. */
export function pendingColumns(sql: Sql): ReturnType<Sql> {
  return sql`destination_id as "destinationId", notification_id as "notificationId", 'pending' as state, round, attempts,
    case when claimed_until > now() then null else next_attempt_at end as "nextAttemptAt",
    null::timestamptz as "settledAt"`;
}

export function restingColumns(sql: Sql): ReturnType<Sql> {
  return sql`destination_id as "destinationId", notification_id as "notificationId", state, round, attempts,
    null::timestamptz as "nextAttemptAt", settled_at as "settledAt"`;
}

function within(sql: Sql, { from, before }: IdRange): Fragment {
  return sql`notification_id >= ${from} and notification_id < ${before}`;
}
