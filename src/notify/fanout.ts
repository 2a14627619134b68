import { type Fact, take } from '../db/outbox.ts';
import type { Sql, Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { storedSettings } from '../grants/settings.ts';
import { uuidv7 } from '../ids.ts';
import { arrayText, coalesce, type Telling } from './coalescing.ts';
import { sortByGuard } from './flood.ts';
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

interface Subscriber {
  readonly app: number;
  readonly id: string;
  readonly triggers: readonly string[];
  readonly status: string;
  /** Of its application, as stored. */
  readonly settings: unknown;
}

const NOTHING: FannedOut = { facts: 0, notifications: 0, coalesced: 0, held: 0, dueAt: null };

/** Turns the oldest facts of the outbox into notifications and deliveries, in one transaction. */
export async function fanOut(deps: { readonly sql: Sql; readonly now: number }, limit: number): Promise<FannedOut> {
  return transaction(deps.sql, async (tx) => {
    const facts = await take(tx, limit);
    if (facts.length === 0) return NOTHING;
    const subscribers = await readSubscribers(tx, facts);
    const wanted = facts.filter((fact) => isRaised(fact.trigger) && subscribersOf(subscribers, fact).length > 0);
    if (wanted.length === 0) return { ...NOTHING, facts: facts.length };

    const guard = guardOf(subscribers);
    const { single, flooding } = await sortByGuard(tx, wanted, guard);
    const now = new Date(deps.now);
    const singles = single.map((fact): Telling => ({ id: uuidv7(deps.now), fact, dueAt: now }));
    const { fresh, updated } = await coalesce(tx, flooding, guard, deps.now);
    const made = [...singles, ...fresh];
    const told = [...made, ...updated];
    const [, { held, dueAt }] = await Promise.all([
      insertNotifications(tx, made, now),
      insertDeliveries(tx, told, subscribers, now),
    ]);
    return {
      facts: facts.length,
      notifications: made.length,
      coalesced: flooding.length,
      held,
      dueAt,
    };
  });
}

/** Locked against deletion: a delivery to a deleted destination would stay behind for ever. */
async function readSubscribers(tx: Tx, facts: readonly Fact[]): Promise<Subscriber[]> {
  const apps = [...new Set(facts.map((fact) => fact.app))];
  const triggers = [...new Set(facts.map((fact) => fact.trigger))];
  return tx<Subscriber[]>`
    select d.app, d.id, d.triggers, d.status, a.settings
    from destinations d join applications a on a.serial = d.app
    where d.app = any(${apps}) and d.triggers && ${triggers}
    order by d.app, d.id
    for key share of d`;
}

function subscribersOf(subscribers: readonly Subscriber[], fact: Fact): Subscriber[] {
  return subscribers.filter(({ app, triggers }) => app === fact.app && triggers.includes(fact.trigger));
}

function guardOf(subscribers: readonly Subscriber[]): (app: number) => number {
  const most = new Map(subscribers.map((row) => [row.app, storedSettings(row.settings).maxNotificationsPerMinute]));
  return (app) => most.get(app) ?? Number.POSITIVE_INFINITY;
}

async function insertNotifications(tx: Tx, made: readonly Telling[], now: Date): Promise<void> {
  if (made.length === 0) return;
  await tx`
    insert into notifications (app, id, trigger, message_id, sequence, link_counts, happened_at, created_at)
    select app, id, trigger, message_id, sequence, link_counts::integer[], happened_at, ${now}
    from unnest(
      ${made.map(({ fact }) => fact.app)}::integer[],
      ${made.map(({ id }) => id)}::uuid[],
      ${made.map(({ fact }) => fact.trigger)}::text[],
      ${made.map(({ fact }) => fact.messageId)}::uuid[],
      ${made.map(({ fact }) => fact.sequence)}::integer[],
      ${made.map(({ fact }) => arrayText(fact.linkCounts))}::text[],
      ${made.map(({ fact }) => fact.happenedAt.toISOString())}::timestamptz[]
    ) as made (app, id, trigger, message_id, sequence, link_counts, happened_at)`;
}

/** One delivery per subscriber; those already there (of an updated notification) stay as they are. */
async function insertDeliveries(
  tx: Tx,
  told: readonly Telling[],
  subscribers: readonly Subscriber[],
  now: Date,
): Promise<Pick<FannedOut, 'held' | 'dueAt'>> {
  const all = told.flatMap((telling) =>
    subscribersOf(subscribers, telling.fact).map((subscriber) => ({ ...telling, app: subscriber.app, subscriber })),
  );
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

function isHeld({ subscriber }: { readonly subscriber: Subscriber }): boolean {
  return subscriber.status === 'paused' || subscriber.status === 'failed';
}
