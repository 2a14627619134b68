// Messages that wait for their time. Each of these changes happens to a message once, whoever else tries it.
import type { Query } from '../db/pool.ts';

interface Named {
  readonly app: number;
  readonly id: string;
}

/**
 * Those that were `scheduled` are `sending` from now on: the ids of them. They count as written now: what looks for a mail,
 * or for its answers, begins at that time.
 */
export async function release(sql: Query, messages: readonly Named[]): Promise<ReadonlySet<string>> {
  return await change(sql, messages, 'scheduled', 'sending');
}

/** One that was not taken by its provider is `scheduled` again; false where it came to rest otherwise. */
export async function putBack(sql: Query, message: Named): Promise<boolean> {
  return (await change(sql, [message], 'sending', 'scheduled')).has(message.id);
}

/** The ids of those that were not being sent, sent or cancelled before. */
export async function cancel(sql: Query, messages: readonly Named[]): Promise<ReadonlySet<string>> {
  return await change(sql, messages, 'scheduled', 'cancelled');
}

async function change(
  sql: Query,
  messages: readonly Named[],
  from: 'scheduled' | 'sending',
  to: 'scheduled' | 'sending' | 'cancelled',
): Promise<ReadonlySet<string>> {
  const rows = await sql<{ id: string }[]>`
    update messages m set state = ${to}, state_at = now(), created_at = ${to === 'sending' ? sql`now()` : sql`m.created_at`}
    from unnest(${messages.map(({ app }) => app)}::integer[], ${messages.map(({ id }) => id)}::uuid[]) as named (app, id)
    where m.app = named.app and m.id = named.id and m.state = ${from}
    returning m.id`;
  return new Set(rows.map(({ id }) => id));
}
