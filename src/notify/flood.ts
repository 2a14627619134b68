import type { Fact } from '../db/outbox.ts';
import type { Tx } from '../db/pool.ts';

const WINDOW_MS = 60_000;

/** What would be notified as its own, and what is above the guard. */
export interface Sorted {
  readonly single: readonly Fact[];
  readonly flooding: readonly Fact[];
}

/**
 * A fact is above the guard of N when the event N before it, of the same message and trigger, happened less than a
 * minute before it. Read from the events themselves: the common case, fewer than N events in all, costs nothing.
 */
export async function sortByGuard(
  tx: Tx,
  facts: readonly Fact[],
  mostPerMinute: (app: number) => number,
): Promise<Sorted> {
  const questions = facts.filter((fact) => fact.sequence >= mostPerMinute(fact.app));
  if (questions.length === 0) return { single: facts, flooding: [] };
  const rows = await tx<{ at: string; happened_at: Date }[]>`
    select question.at, e.happened_at
    from unnest(
      ${questions.map((fact) => fact.app)}::integer[],
      ${questions.map((fact) => fact.messageId)}::uuid[],
      ${questions.map((fact) => fact.trigger)}::text[],
      ${questions.map((fact) => fact.sequence - mostPerMinute(fact.app))}::integer[]
    ) with ordinality as question (app, message_id, trigger, sequence, at)
    join events e on e.app = question.app and e.message_id = question.message_id
      and e.trigger = question.trigger::tracking_trigger and e.sequence = question.sequence`;
  const flooding = new Set<Fact>();
  for (const row of rows) {
    const fact = questions[Number(row.at) - 1];
    if (fact && fact.happenedAt.getTime() - row.happened_at.getTime() < WINDOW_MS) flooding.add(fact);
  }
  return { single: facts.filter((fact) => !flooding.has(fact)), flooding: [...flooding] };
}

/** How long a notification above the guard stays open for later events, so that N a minute leave. */
export function coalescingMs(mostPerMinute: number): number {
  return Math.ceil(WINDOW_MS / mostPerMinute);
}
