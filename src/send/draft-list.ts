import type { Query } from '../db/pool.ts';
import type { Grant } from '../grants/grants.ts';
import { type Draft, type DraftRow, draftColumns, draftsAsSent, standing, toDraft } from './draft-rows.ts';

/** Lists of addresses: one of them is enough. */
export interface DraftFilter {
  /** A part of it, in any case. */
  readonly subject?: string | undefined;
  readonly to?: readonly string[] | undefined;
  readonly cc?: readonly string[] | undefined;
  readonly bcc?: readonly string[] | undefined;
  readonly anyEmail?: readonly string[] | undefined;
  readonly starred?: boolean | undefined;
  readonly threadId?: string | undefined;
  readonly hasAttachment?: boolean | undefined;
  readonly metadata?: readonly [key: string, value: string] | undefined;
}

export interface DraftPage {
  readonly drafts: readonly Draft[];
  /** The last draft of this page where more follow; null at the end. */
  readonly last: string | null;
}

/** Of one page, about; a draft that is larger comes alone. */
const PAGE_BYTES = 8 * 1024 * 1024;

/** Newest first; `after` is the last draft of the page before. A page may have fewer than `limit` before the end. */
export async function listDrafts(
  sql: Query,
  { app, id: grantId }: Pick<Grant, 'app' | 'id'>,
  filter: DraftFilter,
  { limit, after }: { readonly limit: number; readonly after: string | null },
): Promise<DraftPage> {
  const found = await sql<{ id: string; bytes: number }[]>`
    select d.id, octet_length(d.mail) as bytes from ${draftsAsSent(sql)}
    where d.app = ${app} and d.grant_id = ${grantId} and ${isListed(sql)}
      ${after === null ? sql`` : sql`and d.id < ${after}`} ${filtered(sql, filter)}
    order by d.id desc limit ${limit + 1}`;
  const ids: string[] = [];
  let room = PAGE_BYTES;
  for (const { id, bytes } of found) {
    room -= bytes;
    if (ids.length === limit || (room < 0 && ids.length > 0)) break;
    ids.push(id);
  }
  const rows = await sql<DraftRow[]>`
    select ${draftColumns(sql)} from drafts d where d.app = ${app} and d.id = any(${ids}::uuid[]) order by d.id desc`;
  return { drafts: rows.map(toDraft), last: ids.length < found.length ? (ids.at(-1) ?? null) : null };
}

export interface DraftOfThread {
  readonly id: string;
  readonly changedAt: Date;
}

/** Those changed last first, at most `most`. */
export async function draftsInThread(
  sql: Query,
  { app, id: grantId }: Pick<Grant, 'app' | 'id'>,
  threadId: string,
  most: number,
): Promise<readonly DraftOfThread[]> {
  return await sql<DraftOfThread[]>`
    select d.id, d.updated_at as "changedAt" from ${draftsAsSent(sql)}
    where d.app = ${app} and d.grant_id = ${grantId} and d.thread_id = ${threadId} and ${isListed(sql)}
    order by d.updated_at desc, d.id desc limit ${most}`;
}

/** Those that are being sent, or may have been, are not. */
function isListed(sql: Query) {
  return sql`(not d.deleted and ${standing(sql)} in ('open', 'abandoned'))`;
}

function filtered(sql: Query, filter: DraftFilter) {
  const { subject, to, cc, bcc, anyEmail, starred, threadId, hasAttachment, metadata } = filter;
  const conditions = [
    subject !== undefined && sql`and strpos(d.subject, ${subject.toLowerCase()}) > 0`,
    to !== undefined && sql`and ${goesTo(sql, 'to', to)}`,
    cc !== undefined && sql`and ${goesTo(sql, 'cc', cc)}`,
    bcc !== undefined && sql`and ${goesTo(sql, 'bcc', bcc)}`,
    anyEmail !== undefined &&
      sql`and (${goesTo(sql, 'to', anyEmail)} or ${goesTo(sql, 'cc', anyEmail)} or ${goesTo(sql, 'bcc', anyEmail)})`,
    starred !== undefined && sql`and d.starred = ${starred}`,
    threadId !== undefined && sql`and d.thread_id = ${threadId}`,
    hasAttachment !== undefined && sql`and d.attached = ${hasAttachment}`,
    metadata !== undefined && sql`and d.metadata ->> ${metadata[0]} = ${metadata[1]}`,
  ];
  return conditions.reduce((all, one) => (one === false ? all : sql`${all} ${one}`), sql``);
}

function goesTo(sql: Query, field: 'to' | 'cc' | 'bcc', addresses: readonly string[]) {
  return sql`d.recipients -> ${field} ?| ${addresses.map((address) => address.toLowerCase())}::text[]`;
}
