import assert from 'node:assert/strict';
import { type Connection, connect } from '../../src/db/pool.ts';

export interface LedgerEvent {
  readonly trigger: string;
  readonly sequence: number;
  readonly link_index: number | null;
  readonly user_agent: string;
}

/** Reads what the recorder wrote, straight from the tables. */
export async function readLedger(connection: Connection): Promise<LedgerEvent[]> {
  const sql = connect(connection, { max: 1, applicationName: 'test' });
  try {
    const events = await sql<LedgerEvent[]>`
      select trigger::text, sequence, link_index, user_agent from events where sequence is not null
      order by message_id, trigger, sequence`;
    const counters = await sql<{ trigger: string; count: number }[]>`select trigger::text, count from counters`;
    for (const { trigger, count } of counters) {
      const numbers = events.filter((event) => event.trigger === trigger).map((event) => event.sequence);
      // Ids without gaps: 0, 1, 2 … count - 1. The journeys that call this use one message per trigger.
      assert.equal(numbers.length, count, `${trigger}: the counter says ${count}, there are ${numbers.length} events`);
      assert.ok(
        numbers.every((sequence, at) => sequence === at),
        `${trigger}: ids with gaps`,
      );
    }
    return [...events];
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Every answered hit is there exactly once, and nothing that was never sent. */
export function assertExact(
  events: readonly LedgerEvent[],
  trigger: string,
  answered: ReadonlySet<string>,
  cut: ReadonlySet<string>,
): void {
  const times = new Map<string, number>();
  for (const event of events) {
    if (event.trigger === trigger) times.set(event.user_agent, (times.get(event.user_agent) ?? 0) + 1);
  }
  const lost = [...answered].filter((userAgent) => !times.has(userAgent));
  const twice = [...times].filter(([, count]) => count > 1);
  const invented = [...times.keys()].filter((userAgent) => !answered.has(userAgent) && !cut.has(userAgent));
  assert.deepEqual({ lost, twice, invented }, { lost: [], twice: [], invented: [] }, trigger);
}
