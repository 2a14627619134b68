import type { Query } from '../db/pool.ts';

/** The sender's copy of a mail while it does not lie in Sent yet; null where none waits. */
export async function waitingCopy(sql: Query, app: number, message: string): Promise<Buffer | null> {
  const [row] = await sql<{ raw: Buffer }[]>`
    select raw from sent_copies where app = ${app} and message_id = ${message}`;
  return row?.raw ?? null;
}
