import { arrayText } from '../db/arrays.ts';
import { detailTexts, type EventFact, type Fact, type Haul, isEvent, setAside, take } from '../db/outbox.ts';
import { ensurePartitions } from '../db/partitions.ts';
import { isTransient, type Sql, type Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { risingIds } from '../ids.ts';
import type { Log } from '../log.ts';
import { failureOf } from '../tracking/failure.ts';
import { coalesce, type Named, type Telling } from './coalescing.ts';
import { floodOf } from './flood.ts';
import { type Audience, audienceOf, guardOf, readSubscribers, type Subscriber } from './subscribers.ts';
import { namesOfFact, RAISED } from './triggers.ts';

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

interface Attempted {
  /** There may be more facts, left for their size. */
  readonly isCut: boolean;
}

interface Made extends Attempted {
  readonly made: FannedOut;
}

/** The facts of a transaction that was rolled back because of what they are. */
interface Refused extends Attempted {
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
// A delivery that was due with another goes after it where its notification's id is greater: see `claim`.
const nextId = risingIds();
const NOTHING: FannedOut = { facts: 0, notifications: 0, coalesced: 0, held: 0, dueAt: null };

/**
 * Turns the oldest facts of the outbox into notifications and deliveries, in one transaction, or several where their
 * details are large. Where the database refuses them, the bad one is found by halving and set aside in the outbox; the
 * others go their way. Notifications get ids that rise in the order of their facts.
 */
export async function fanOut(deps: FanOutDeps, limit: number): Promise<FannedOut> {
  const first = await attempt(deps, limit);
  const done = 'made' in first ? first.made : await withoutTheBad(deps, first);
  if (!first.isCut || done.facts >= limit) return done;
  return sum(done, await fanOut(deps, limit - done.facts));
}

async function withoutTheBad(deps: FanOutDeps, { positions, error }: Refused): Promise<FannedOut> {
  // Nobody makes partitions for a time to which the clock has jumped. The next week's too: ids may be ahead of the clock.
  if (failureOf(error).code === NO_PARTITION) await ensurePartitions(deps.sql, deps.now, 1);
  return await isolate(deps, positions);
}

async function isolate(deps: FanOutDeps, positions: readonly string[]): Promise<FannedOut> {
  const whole = await attempt(deps, positions.length, positions);
  if ('made' in whole) return whole.made;
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

async function attempt(deps: FanOutDeps, limit: number, among?: readonly string[]): Promise<Made | Refused> {
  let haul: Haul = { facts: [], isCut: false };
  try {
    const made = await transaction(deps.sql, async (tx) => {
      haul = await take(tx, { limit, triggers: RAISED, among });
      return await tell(tx, haul.facts, deps.now);
    });
    return { made, isCut: haul.isCut };
  } catch (error) {
    if (haul.facts.length === 0 || isTransient(error) || failureOf(error).kind === 'wait') throw error;
    return { positions: haul.facts.map(({ position }) => position), error, isCut: haul.isCut };
  }
}

async function tell(tx: Tx, facts: readonly Fact[], at: number): Promise<FannedOut> {
  if (facts.length === 0) return NOTHING;
  const subscribers = await readSubscribers(tx, facts);
  const audience = audienceOf(subscribers);
  const named = facts.flatMap((fact) => namedBy(fact, audience, at));
  if (named.length === 0) return { ...NOTHING, facts: facts.length };

  const guard = guardOf(subscribers);
  const flood = await floodOf(tx, [...new Set(named.map(({ fact }) => fact))], guard);
  const now = new Date(at);
  const singles = named.filter(({ fact }) => !flood.has(fact)).map((one): Telling => ({ ...one, dueAt: now }));
  const { fresh, updated } = await coalesce(tx, flood.size === 0 ? [] : named.filter(isIn(flood)), guard, at);
  const made = [...singles, ...fresh];
  const deliveries = deliveriesOf(made, audience);
  const late = await withoutPending(tx, deliveriesOf(updated, audience));
  const [, { held, dueAt }] = await Promise.all([
    insertNotifications(tx, made, now),
    insertDeliveries(tx, [...deliveries, ...late], now),
  ]);
  return { facts: facts.length, notifications: made.length, coalesced: flood.size, held, dueAt };
}

/** Under each of its names that somebody wants. */
function namedBy(fact: Fact, audience: Audience, at: number): Named[] {
  const names = namesOfFact(fact.trigger).filter((trigger) => audience(fact.app, trigger).length > 0);
  return names.map((trigger) => ({ id: nextId(at), trigger, fact }));
}

function isIn(flood: ReadonlySet<Fact>): (named: Named) => named is Named<EventFact> {
  return (named): named is Named<EventFact> => flood.has(named.fact) && isEvent(named.fact);
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
      ${made.map(({ trigger }) => trigger)}::text[],
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
function deliveriesOf(told: readonly Telling[], audience: Audience): Delivery[] {
  return told.flatMap(({ id, trigger, dueAt, fact }) =>
    audience(fact.app, trigger).map((subscriber) => ({ app: fact.app, id, dueAt, subscriber })),
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
