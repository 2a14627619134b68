import type { Query } from '../db/pool.ts';

export interface TrackedLink {
  readonly index: number;
  /** The address as its author wrote it. */
  readonly url: string;
}

/** The addresses of a message's tracked links, by link index. */
export async function readLinks(sql: Query, app: number, message: string): Promise<string[]> {
  const rows = await sql<{ url: string }[]>`
    select url from links where app = ${app} and message_id = ${message} order by link_index`;
  return rows.map((row) => row.url);
}

/** For a click whose link came without its destination. */
export async function readLink(sql: Query, app: number, message: string, index: number): Promise<string | null> {
  const [row] = await sql<{ url: string }[]>`
    select url from links where app = ${app} and message_id = ${message} and link_index = ${index}`;
  return row?.url ?? null;
}
