import type { Query, Tx } from '../db/pool.ts';

export interface TrackedLink {
  readonly index: number;
  /** The address as its author wrote it. */
  readonly url: string;
}

/** Written with the message they belong to, in one transaction. */
export async function insertLinks(tx: Tx, app: number, message: string, links: readonly TrackedLink[]): Promise<void> {
  if (links.length === 0) return;
  await tx`
    insert into links (app, message_id, link_index, url)
    select ${app}::integer, ${message}::uuid, link_index, url
    from unnest(
      ${links.map((link) => link.index)}::smallint[],
      ${links.map((link) => link.url)}::text[]
    ) as link (link_index, url)`;
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
