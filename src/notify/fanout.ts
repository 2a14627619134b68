import { arrayText } from '../db/arrays.ts';
import { detailTexts, type Fact, setAside, take } from '../db/outbox.ts';
import { ensurePartitions } from '../db/partitions.ts';
import { isTransient, type Sql, type Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { uuidv7 } from '../ids.ts';
import type { Log } from '../log.ts';
import { failureOf } from '../tracking/failure.ts';
import { coalesce, type Telling } from './coalescing.ts';
import { sortByGuard } from './flood.ts';
import { guardOf, readSubscribers, type Subscriber, subscribersOf } from './subscribers.ts';
import { isRaised } from './triggers.ts';

export interface FannedOut {
  /** Taken from the outbox, those that nobody subscribes to included. */
  readonly facts: number;
  /** Notifications made. */
  readonly notifications: number;
  /** Facts taken in by a notification together with others. */
  readonly coalesced: number;
  /** Deliveries put aside because their destination is paused or failed. */
  readonly held: number;
  /** Unix milliseconds at which the first of the new deliveries is due, null for none. */
  readonly dueAt: number | null;
}

/** The facts of a transaction that was rolled back because of what they are. */
interface Refused {
  readonly positions: readonly string[];
  readonly error: unknown;
}

export interface FanOutDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'error'>;
  /** Unix milliseconds. */
  readonly now: number;
}

const NO_PARTITION = '23514';
const NOTHING: FannedOut = { facts: 0, notifications: 0, coalesced: 0, held: 0, dueAt: null };

/**
 * Turns the oldest facts of the outbox into notifications and deliveries, in one transaction. Where the database
 * refuses them, the bad one is found by halving and set aside in the outbox; the others go their way.
 */
export async function fanOut(deps: FanOutDeps, limit: number): Promise<FannedOut> {
  const first = await attempt(deps, limit);
  if (!('positions' in first)) return first;
  // Nobody makes partitions for a time to which the clock has jumped.
  if (failureOf(first.error).code === NO_PARTITION) await ensurePartitions(deps.sql, deps.now, 0);
  return await isolate(deps, first.positions);
}

async function isolate(deps: FanOutDeps, positions: readonly string[]): Promise<FannedOut> {
  const whole = await attempt(deps, positions.length, positions);
  if (!('positions' in whole)) return whole;
  const [position, ...others] = whole.positions;
  if (position === undefined) return NOTHING;
  if (others.length > 0) {
    const middle = Math.ceil(whole.positions.length / 2);
    const older = await isolate(deps, whole.positions.slice(0, middle));
    return sum(older, await isolate(deps, whole.positions.slice(middle)));
  }
  if (await setAside(deps.sql, position)) deps.log.error({ err: whole.error, position }, 'fact.set_aside');
  return { ...NOTHING, facts: 1 };
}

async function attempt(deps: FanOutDeps, limit: number, among?: readonly string[]): Promise<FannedOut | Refused> {
  let positions: readonly string[] = [];
  try {
    return await transaction(deps.sql, async (tx) => {
      const facts = await take(tx, limit, among);
      positions = facts.map(({ position }) => position);
      return await tell(tx, facts, deps.now);
    });
  } catch (error) {
    if (positions.length === 0 || isTransient(error) || failureOf(error).kind === 'wait') throw error;
    return { positions, error };
  }
}

async function tell(tx: Tx, facts: readonly Fact[], at: number): Promise<FannedOut> {
  if (facts.length === 0) return NOTHING;
  const subscribers = await readSubscribers(tx, facts);
  const wanted = facts.filter((fact) => isRaised(fact.trigger) && subscribersOf(subscribers, fact).length > 0);
  if (wanted.length === 0) return { ...NOTHING, facts: facts.length };

  const guard = guardOf(subscribers);
  const { single, flooding } = await sortByGuard(tx, wanted, guard);
  const now = new Date(at);
  const singles = single.map((fact): Telling => ({ id: uuidv7(at), fact, dueAt: now }));
  const { fresh, updated } = await coalesce(tx, flooding, guard, at);
  const made = [...singles, ...fresh];
  const deliveries = deliveriesOf(made, subscribers);
  const late = await withoutPending(tx, deliveriesOf(updated, subscribers));
  const [, { held, dueAt }] = await Promise.all([
    insertNotifications(tx, made, now),
    insertDeliveries(tx, [...deliveries, ...late], now),
  ]);
  return { facts: facts.length, notifications: made.length, coalesced: flooding.length, held, dueAt };
}

function sum(a: FannedOut, b: FannedOut): FannedOut {
  return {
    facts: a.facts + b.facts,
    notifications: a.notifications + b.notifications,
    coalesced: a.coalesced + b.coalesced,
    held: a.held + b.held,
    dueAt: a.dueAt === null || b.dueAt === null ? (a.dueAt ?? b.dueAt) : Math.min(a.dueAt, b.dueAt),
  };
}

async function insertNotifications(tx: Tx, made: readonly Telling[], now: Date): Promise<void> {
  if (made.length === 0) return;
  await tx`
    insert into notifications (app, id, trigger, message_id, sequence, subject, detail, link_counts, happened_at,
      created_at)
    select app, id, trigger, message_id, sequence, subject, detail::jsonb, link_counts::integer[], happened_at, ${now}
    from unnest(
      ${made.map(({ fact }) => fact.app)}::integer[],
      ${made.map(({ id }) => id)}::uuid[],
      ${made.map(({ fact }) => fact.trigger)}::text[],
      ${made.map(({ fact }) => fact.messageId)}::uuid[],
      ${made.map(({ fact }) => fact.sequence)}::integer[],
      ${made.map(({ fact }) => fact.subject ?? null)}::text[],
      ${detailTexts(made.map(({ fact }) => fact))}::text[],
      ${made.map(({ fact }) => fact.linkCounts && arrayText(fact.linkCounts))}::text[],
      ${made.map(({ fact }) => fact.happenedAt.toISOString())}::timestamptz[]
    ) as made (app, id, trigger, message_id, sequence, subject, detail, link_counts, happened_at)`;
}

interface Delivery {
  readonly app: number;
  readonly id: string;
  readonly dueAt: Date;
  readonly subscriber: Subscriber;
}

/** One per subscriber of each notification. */
function deliveriesOf(told: readonly Telling[], subscribers: readonly Subscriber[]): Delivery[] {
  return told.flatMap(({ id, dueAt, fact }) =>
    subscribersOf(subscribers, fact).map((subscriber) => ({ app: subscriber.app, id, dueAt, subscriber })),
  );
}

/**
 * Those of subscribers that came after the notification. The others are only looked at: a claim may hold their rows
 * and wait for the coalescing notification that we hold, and to insert over its row would be to wait for it.
 */
async function withoutPending(tx: Tx, deliveries: readonly Delivery[]): Promise<Delivery[]> {
  if (deliveries.length === 0) return [];
  const rows = await tx<{ at: string }[]>`
    select key.at
    from unnest(
      ${deliveries.map(({ app }) => app)}::integer[],
      ${deliveries.map(({ subscriber }) => subscriber.id)}::uuid[],
      ${deliveries.map(({ id }) => id)}::uuid[]
    ) with ordinality as key (app, destination_id, notification_id, at)
    join pending_deliveries using (app, destination_id, notification_id)`;
  const there = new Set(rows.map(({ at }) => Number(at) - 1));
  return deliveries.filter((_, at) => !there.has(at));
}

async function insertDeliveries(
  tx: Tx,
  all: readonly Delivery[],
  now: Date,
): Promise<Pick<FannedOut, 'held' | 'dueAt'>> {
  const [held, pending] = [all.filter(isHeld), all.filter((delivery) => !isHeld(delivery))];
  const [, rows] = await Promise.all([
    pending.length === 0
      ? null
      : tx`
        insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
        select * from unnest(
          ${pending.map(({ app }) => app)}::integer[],
          ${pending.map(({ subscriber }) => subscriber.id)}::uuid[],
          ${pending.map(({ id }) => id)}::uuid[],
          ${pending.map(({ dueAt }) => dueAt.toISOString())}::timestamptz[])
        on conflict do nothing`,
    held.length === 0
      ? []
      : tx`
        insert into deliveries (app, destination_id, notification_id, state, attempts, settled_at)
        select app, destination_id, notification_id, 'held', 0, ${now}
        from unnest(
          ${held.map(({ app }) => app)}::integer[],
          ${held.map(({ subscriber }) => subscriber.id)}::uuid[],
          ${held.map(({ id }) => id)}::uuid[]
        ) as held (app, destination_id, notification_id)
        on conflict do nothing
        returning app`,
  ]);
  const due = pending.map(({ dueAt }) => dueAt.getTime());
  return { held: rows.length, dueAt: due.length === 0 ? null : Math.min(...due) };
}

function isHeld({ subscriber }: Delivery): boolean {
  return subscriber.status === 'paused' || subscriber.status === 'failed';
}
