import { type Fact, isEvent } from '../db/outbox.ts';
import { lowestId } from '../db/partitions.ts';
import type { Query } from '../db/pool.ts';
import { uuidTime } from '../ids.ts';

const WINDOW_MS = 60_000;
// No event is older than its message, but for clocks that differ.
const EARLIEST_EVENT_MS = 24 * 60 * 60_000;

/**
 * Those above the guard. A fact is above the guard of N when the event N before it, of the same message and trigger,
 * happened less than a minute before it. Read from the events themselves: the common case, fewer than N events in all,
 * costs nothing, and partitions older than the message are not looked at.
 */
export async function floodOf(
  tx: Query,
  facts: readonly Fact[],
  mostPerMinute: (app: number) => number,
): Promise<ReadonlySet<Fact>> {
  const questions = facts.filter(isEvent).filter((fact) => fact.sequence >= mostPerMinute(fact.app));
  const flooding = new Set<Fact>();
  if (questions.length === 0) return flooding;
  const rows = await tx<{ at: string; happened_at: Date }[]>`
    select question.at, e.happened_at
    from unnest(
      ${questions.map((fact) => fact.app)}::integer[],
      ${questions.map((fact) => fact.messageId)}::uuid[],
      ${questions.map((fact) => fact.trigger)}::text[],
      ${questions.map((fact) => fact.sequence - mostPerMinute(fact.app))}::integer[],
      ${questions.map((fact) => lowestId(uuidTime(fact.messageId) - EARLIEST_EVENT_MS))}::uuid[]
    ) with ordinality as question (app, message_id, trigger, sequence, lowest_id, at)
    cross join lateral (
      select happened_at from events
      where app = question.app and message_id = question.message_id
        and trigger = case when question.trigger = any(enum_range(null::tracking_trigger)::text[])
          then question.trigger::tracking_trigger end
        and sequence = question.sequence and id >= question.lowest_id
      limit 1 -- there is no more, and so each question is asked by itself, of its own partitions
    ) e`;
  for (const row of rows) {
    const fact = questions[Number(row.at) - 1];
    if (fact && fact.happenedAt.getTime() - row.happened_at.getTime() < WINDOW_MS) flooding.add(fact);
  }
  return flooding;
}

/** How long a notification above the guard stays open for later events, so that N a minute leave. */
export function coalescingMs(mostPerMinute: number): number {
  return Math.ceil(WINDOW_MS / mostPerMinute);
}
