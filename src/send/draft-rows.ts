// Rows of `drafts`. A draft that is being sent says so by the message it is sent as: that message's state decides what
// became of it, so that a crash at any moment leaves nothing to be guessed.
import type { Query, Tx } from '../db/pool.ts';
import type { Grant } from '../grants/grants.ts';
import { mailFromText, type StoredOutgoing } from './stored-mail.ts';

export interface Draft {
  /** UUIDv7; the wire id is `dft_…`. */
  readonly id: string;
  /** Wire id. */
  readonly threadId: string;
  readonly mail: StoredOutgoing;
  readonly starred: boolean;
  readonly createdAt: Date;
  readonly changedAt: Date;
}

/**
 * `sending`: or its message is about to be written. `abandoned`: it never was, and should have been by now; whoever wants
 * to do anything with such a draft makes sure first that it never will be.
 */
export type Standing = 'open' | 'sending' | 'unknown' | 'sent' | 'abandoned';

type Owner = Pick<Grant, 'app' | 'id'>;

/** Null also for one that is deleted or sent. */
export async function findDraft(sql: Query, { app, id: grantId }: Owner, id: string): Promise<Draft | null> {
  const [row] = await sql<DraftRow[]>`
    select ${draftColumns(sql)} from ${draftsAsSent(sql)}
    where d.app = ${app} and d.grant_id = ${grantId} and d.id = ${id} and not d.deleted
      and ${standing(sql)} <> 'sent'`;
  return row === undefined ? null : toDraft(row);
}

/** The draft that was sent as this message, while its row is there. */
export async function draftOfMessage(sql: Query, app: number, messageId: string): Promise<Draft | null> {
  const [row] = await sql<DraftRow[]>`
    select ${draftColumns(sql)} from drafts d where d.app = ${app} and d.message_id = ${messageId}`;
  return row === undefined ? null : toDraft(row);
}

export interface LockedDraft extends Draft {
  readonly standing: Exclude<Standing, 'sent'>;
  /** As what it is, or was last, being sent. */
  readonly messageId: string | null;
  /** Its content as the row has it. */
  readonly text: string;
}

/** Nobody else changes it before the transaction ends. Null as of `findDraft`. */
export async function lockDraft(tx: Tx, { app, id: grantId }: Owner, id: string): Promise<LockedDraft | null> {
  await tx`select from drafts where app = ${app} and grant_id = ${grantId} and id = ${id} for update`;
  // By itself: a statement that waits for a lock goes on with what it saw of other tables before.
  const [row] = await tx<(DraftRow & { standing: Standing; message_id: string | null })[]>`
    select ${draftColumns(tx)}, d.message_id, ${standing(tx)} as standing from ${draftsAsSent(tx)}
    where d.app = ${app} and d.grant_id = ${grantId} and d.id = ${id} and not d.deleted`;
  if (row === undefined || row.standing === 'sent') return null;
  return { ...toDraft(row), standing: row.standing, messageId: row.message_id, text: row.mail };
}

/** Drafts `d` beside the messages `m` they are sent as. */
export function draftsAsSent(sql: Query) {
  return sql`drafts d left join messages m on m.app = d.app and m.id = d.message_id`;
}

/** Of those, a {@link Standing}. While a draft is being sent, `keep_at` is when its message should have been written. */
export function standing(sql: Query) {
  return sql`case
    when d.message_id is null or m.state = 'failed' then 'open'
    when m.state in ('sent', 'unknown') then m.state
    when m.id is null and d.keep_at <= now() then 'abandoned'
    else 'sending' end`;
}

export interface DraftRow {
  readonly id: string;
  readonly thread_id: string;
  readonly mail: string;
  readonly starred: boolean;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export function draftColumns(sql: Query) {
  return sql`d.id, d.thread_id, d.mail, d.starred, d.created_at, d.updated_at`;
}

export function toDraft(row: DraftRow): Draft {
  return {
    id: row.id,
    threadId: row.thread_id,
    mail: mailFromText(row.mail),
    starred: row.starred,
    createdAt: row.created_at,
    changedAt: row.updated_at,
  };
}
