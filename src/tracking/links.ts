import type { Query } from '../db/pool.ts';

export interface TrackedLink {
  readonly index: number;
  /** The address as its author wrote it. */
  readonly url: string;
}

/** Of each message the addresses of its tracked links, by link index. */
export async function readLinks(
  sql: Query,
  messages: readonly { readonly app: number; readonly messageId: string }[],
): Promise<string[][]> {
  const rows = await sql<{ at: string; url: string }[]>`
    select message.at, links.url
    from unnest(
      ${messages.map(({ app }) => app)}::integer[],
      ${messages.map(({ messageId }) => messageId)}::uuid[]
    ) with ordinality as message (app, message_id, at)
    join links using (app, message_id)
    order by message.at, links.link_index`;
  const urls = messages.map((): string[] => []);
  for (const { at, url } of rows) urls[Number(at) - 1]?.push(url);
  return urls;
}

/** For a click whose link came without its destination. */
export async function readLink(sql: Query, app: number, message: string, index: number): Promise<string | null> {
  const [row] = await sql<{ url: string }[]>`
    select url from links where app = ${app} and message_id = ${message} and link_index = ${index}`;
  return row?.url ?? null;
}
