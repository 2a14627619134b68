import { arrayText } from '../db/arrays.ts';
import { detailTexts, type EventFact, type Fact } from '../db/outbox.ts';
import type { Tx } from '../db/pool.ts';
import { uuidTime } from '../ids.ts';
import { coalescingMs } from './flood.ts';
import type { ToldTrigger } from './triggers.ts';

/** A fact under one of its names, and the id of its notification should it get one of its own. */
export interface Named<Told extends Fact = Fact> {
  readonly id: string;
  readonly trigger: ToldTrigger;
  readonly fact: Told;
}

/** A notification to be written, new or already there, and the newest fact it tells. */
export interface Telling<Told extends Fact = Fact> extends Named<Told> {
  readonly dueAt: Date;
}

// A coalescing notification that is not claimed for so long (a dead or paused receiver) takes in no more: its
// partition must be there still, and its id should not be older than what it tells by more than this.
const OPEN_AT_MOST_MS = 10 * 60_000;

/**
 * One notification for all that is above the guard of its message and name: the one that is still open, brought to the
 * newest state, or a new one that stays open for its share of the minute. Claiming closes it (see `claim`).
 */
export async function coalesce(
  tx: Tx,
  flooding: readonly Named<EventFact>[],
  guard: (app: number) => number,
  now: number,
): Promise<{ readonly fresh: readonly Telling<EventFact>[]; readonly updated: readonly Telling<EventFact>[] }> {
  const newest = newestOfEach(flooding);
  if (newest.length === 0) return { fresh: [], updated: [] };
  const open = await tx<{ app: number; message_id: string; trigger: string; notification_id: string }[]>`
    select c.app, c.message_id, c.trigger, c.notification_id
    from unnest(
      ${newest.map(({ fact }) => fact.app)}::integer[],
      ${newest.map(({ fact }) => fact.messageId)}::uuid[],
      ${newest.map(({ trigger }) => trigger)}::text[]
    ) as key (app, message_id, trigger)
    join coalescing_notifications c using (app, message_id, trigger)
    order by c.app, c.message_id, c.trigger
    for update of c`;
  const idOf = new Map(open.map((row) => [`${row.app} ${row.message_id} ${row.trigger}`, row.notification_id]));
  const fresh: Telling<EventFact>[] = [];
  const updated: Telling<EventFact>[] = [];
  for (const named of newest) {
    const dueAt = new Date(now + coalescingMs(guard(named.fact.app)));
    const id = idOf.get(keyOf(named));
    if (id !== undefined && now - uuidTime(id) < OPEN_AT_MOST_MS) updated.push({ ...named, id, dueAt });
    else fresh.push({ ...named, dueAt });
  }
  await Promise.all([
    fresh.length === 0
      ? null
      : tx`
        insert into coalescing_notifications (app, message_id, trigger, notification_id)
        select * from unnest(
          ${fresh.map(({ fact }) => fact.app)}::integer[],
          ${fresh.map(({ fact }) => fact.messageId)}::uuid[],
          ${fresh.map(({ trigger }) => trigger)}::text[],
          ${fresh.map(({ id }) => id)}::uuid[])
        on conflict (app, message_id, trigger) do update set notification_id = excluded.notification_id`,
    updated.length === 0
      ? null
      : tx`
        update notifications n
        set sequence = newer.sequence, detail = newer.detail::jsonb, link_counts = newer.link_counts::integer[],
          happened_at = newer.happened_at, created_at = ${new Date(now)}
        from unnest(
          ${updated.map(({ fact }) => fact.app)}::integer[],
          ${updated.map(({ id }) => id)}::uuid[],
          ${updated.map(({ fact }) => fact.sequence)}::integer[],
          ${detailTexts(updated.map(({ fact }) => fact))}::text[],
          ${updated.map(({ fact }) => fact.linkCounts && arrayText(fact.linkCounts))}::text[],
          ${updated.map(({ fact }) => fact.happenedAt.toISOString())}::timestamptz[]
        ) as newer (app, id, sequence, detail, link_counts, happened_at)
        where n.app = newer.app and n.id = newer.id and n.sequence < newer.sequence`,
  ]);
  return { fresh, updated };
}

function keyOf({ trigger, fact }: Named<EventFact>): string {
  return `${fact.app} ${fact.messageId} ${trigger}`;
}

/** The newest fact per message and name, in the order in which every node locks them. */
function newestOfEach(all: readonly Named<EventFact>[]): Named<EventFact>[] {
  const newest = new Map<string, Named<EventFact>>();
  for (const named of all) {
    const known = newest.get(keyOf(named));
    if (known === undefined || known.fact.sequence < named.fact.sequence) newest.set(keyOf(named), named);
  }
  return [...newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, named]) => named);
}
