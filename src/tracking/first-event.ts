import type { Query } from '../db/pool.ts';
import type { Trigger } from './events.ts';

/** When the earliest counted event of (message, trigger) happened; kept when events are pruned. Null: there is none. */
export async function firstEventAt(sql: Query, app: number, messageId: string, trigger: Trigger): Promise<Date | null> {
  const [row] = await sql<{ first_at: Date | null }[]>`
    select first_at from counters where app = ${app} and message_id = ${messageId} and trigger = ${trigger}`;
  return row?.first_at ?? null;
}
