// Messages that wait for their time. Each of these changes happens to a message once, whoever else tries it.
import type { Query } from '../db/pool.ts';

interface Named {
  readonly app: number;
  readonly id: string;
}

/** Those that were `scheduled` are `sending` from now on: the ids of them. */
export async function release(sql: Query, messages: readonly Named[]): Promise<ReadonlySet<string>> {
  return await change(sql, messages, 'scheduled', 'sending');
}

/** One that was not taken by its provider is `scheduled` again; false where it came to rest otherwise. */
export async function putBack(sql: Query, message: Named): Promise<boolean> {
  return (await change(sql, [message], 'sending', 'scheduled')).has(message.id);
}

/** False where it is being sent, was, or was cancelled before. */
export async function cancel(sql: Query, message: Named): Promise<boolean> {
  return (await change(sql, [message], 'scheduled', 'cancelled')).has(message.id);
}

async function change(
  sql: Query,
  messages: readonly Named[],
  from: 'scheduled' | 'sending',
  to: 'scheduled' | 'sending' | 'cancelled',
): Promise<ReadonlySet<string>> {
  const rows = await sql<{ id: string }[]>`
    update messages m set state = ${to}, state_at = now()
    from unnest(${messages.map(({ app }) => app)}::integer[], ${messages.map(({ id }) => id)}::uuid[]) as named (app, id)
    where m.app = named.app and m.id = named.id and m.state = ${from}
    returning m.id`;
  return new Set(rows.map(({ id }) => id));
}
