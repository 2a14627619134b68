import { arrayText } from '../db/arrays.ts';
import type { EventFact, Fact } from '../db/outbox.ts';
import type { Tx } from '../db/pool.ts';
import { uuidTime, uuidv7 } from '../ids.ts';
import { coalescingMs } from './flood.ts';

/** A notification to be written, new or already there, and the newest fact it tells. */
export interface Telling<Told extends Fact = Fact> {
  readonly id: string;
  readonly fact: Told;
  readonly dueAt: Date;
}

// A coalescing notification that is not claimed for so long (a dead or paused receiver) takes in no more: its
// partition must be there still, and its id should not be older than what it tells by more than this.
const OPEN_AT_MOST_MS = 10 * 60_000;

/**
 * One notification for all that is above the guard of its (message, trigger): the one that is still open, brought to
 * the newest state, or a new one that stays open for its share of the minute. Claiming closes it (see `claim`).
 */
export async function coalesce(
  tx: Tx,
  flooding: readonly EventFact[],
  guard: (app: number) => number,
  now: number,
): Promise<{ readonly fresh: readonly Telling<EventFact>[]; readonly updated: readonly Telling<EventFact>[] }> {
  const newest = newestOfEach(flooding);
  if (newest.length === 0) return { fresh: [], updated: [] };
  const open = await tx<{ app: number; message_id: string; trigger: string; notification_id: string }[]>`
    select c.app, c.message_id, c.trigger, c.notification_id
    from unnest(
      ${newest.map((fact) => fact.app)}::integer[],
      ${newest.map((fact) => fact.messageId)}::uuid[],
      ${newest.map((fact) => fact.trigger)}::text[]
    ) as key (app, message_id, trigger)
    join coalescing_notifications c using (app, message_id, trigger)
    order by c.app, c.message_id, c.trigger
    for update of c`;
  const idOf = new Map(open.map((row) => [`${row.app} ${row.message_id} ${row.trigger}`, row.notification_id]));
  const fresh: Telling<EventFact>[] = [];
  const updated: Telling<EventFact>[] = [];
  for (const fact of newest) {
    const dueAt = new Date(now + coalescingMs(guard(fact.app)));
    const id = idOf.get(keyOf(fact));
    if (id !== undefined && now - uuidTime(id) < OPEN_AT_MOST_MS) updated.push({ id, fact, dueAt });
    else fresh.push({ id: uuidv7(now), fact, dueAt });
  }
  await Promise.all([
    fresh.length === 0
      ? null
      : tx`
        insert into coalescing_notifications (app, message_id, trigger, notification_id)
        select * from unnest(
          ${fresh.map(({ fact }) => fact.app)}::integer[],
          ${fresh.map(({ fact }) => fact.messageId)}::uuid[],
          ${fresh.map(({ fact }) => fact.trigger)}::text[],
          ${fresh.map(({ id }) => id)}::uuid[])
        on conflict (app, message_id, trigger) do update set notification_id = excluded.notification_id`,
    updated.length === 0
      ? null
      : tx`
        update notifications n
        set sequence = newer.sequence, link_counts = newer.link_counts::integer[], happened_at = newer.happened_at,
          created_at = ${new Date(now)}
        from unnest(
          ${updated.map(({ fact }) => fact.app)}::integer[],
          ${updated.map(({ id }) => id)}::uuid[],
          ${updated.map(({ fact }) => fact.sequence)}::integer[],
          ${updated.map(({ fact }) => fact.linkCounts && arrayText(fact.linkCounts))}::text[],
          ${updated.map(({ fact }) => fact.happenedAt.toISOString())}::timestamptz[]
        ) as newer (app, id, sequence, link_counts, happened_at)
        where n.app = newer.app and n.id = newer.id and n.sequence < newer.sequence`,
  ]);
  return { fresh, updated };
}

function keyOf(fact: EventFact): string {
  return `${fact.app} ${fact.messageId} ${fact.trigger}`;
}

/** The newest fact per (message, trigger), in the order in which every node locks them. */
function newestOfEach(facts: readonly EventFact[]): EventFact[] {
  const newest = new Map<string, EventFact>();
  for (const fact of facts) {
    const known = newest.get(keyOf(fact));
    if (known === undefined || known.sequence < fact.sequence) newest.set(keyOf(fact), fact);
  }
  return [...newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, fact]) => fact);
}
