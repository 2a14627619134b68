import type { Query } from '../db/pool.ts';

/** Why this message was not sent, as its settlement said; null where it did not fail. */
export async function failureOfSend(
  sql: Query,
  app: number,
  id: string,
): Promise<{ readonly kind: string; readonly reason: string } | null> {
  const [row] = await sql<{ kind: string | null; reason: string | null }[]>`
    select error->>'kind' as kind, error->>'reason' as reason from messages
    where app = ${app} and id = ${id} and state = 'failed'`;
  return row === undefined ? null : { kind: row.kind ?? '', reason: row.reason ?? '' };
}
