import type { Query, Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { fromWireId } from '../ids.ts';
import { insertLinks, type TrackedLink } from './links.ts';

export type MessageState = 'reserved' | 'sending' | 'sent' | 'failed' | 'unknown';

export interface TrackedMessage {
  readonly app: number;
  /** UUIDv7, known beforehand because the tokens in the body carry it. */
  readonly id: string;
  readonly grantId: string;
  readonly label: string;
  readonly opens: boolean;
  readonly links: boolean;
  readonly threadReplies: boolean;
  /** The Message-ID header. */
  readonly messageId: string;
  readonly threadId: string;
  /** Message-IDs of the thread up to the one this answers, oldest first; empty for a new thread. */
  readonly ancestors: readonly string[];
  readonly subject: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface StoredMessage extends TrackedMessage {
  readonly state: MessageState;
  readonly providerMessageId: string | null;
  readonly createdAt: Date;
  readonly stateAt: Date;
}

/** How a send came to rest. `error` is kept for people. */
export type SendResult =
  | { readonly state: 'sent'; readonly messageId: string; readonly providerMessageId: string | null }
  | { readonly state: 'failed' | 'unknown'; readonly error: { readonly kind: string; readonly reason: string } };

/** The kind of a failure that recovery concluded from a Sent folder: the provider itself may still know better. */
export const CONCLUDED = 'absent';

/** `unstorable`: the database will not hold this record (too large, a NUL, a lone surrogate in JSON). */
export type Reserved = 'reserved' | 'unstorable';

/** Writes the message with its links, so that no hit ever precedes what it belongs to. */
export async function reserve(sql: Sql, message: TrackedMessage, links: readonly TrackedLink[]): Promise<Reserved> {
  try {
    await transaction(sql, async (tx) => {
      await tx`
        insert into messages (app, id, grant_id, state, label, opens, links, thread_replies, link_count, message_id,
          thread_id, reply_to, ancestors, subject, metadata)
        values (${message.app}, ${message.id}, ${message.grantId}, 'reserved', ${message.label}, ${message.opens},
          ${message.links}, ${message.threadReplies}, ${links.length}, ${message.messageId}, ${message.threadId},
          ${message.ancestors.at(-1) ?? null}, ${[...message.ancestors]}::text[], ${message.subject},
          ${tx.json(message.metadata)})`;
      await insertLinks(tx, message.app, message.id, links);
    });
    return 'reserved';
  } catch (error) {
    if (isUnstorable(error)) return 'unstorable';
    throw error;
  }
}

/** To be called right before the provider is; false when recovery gave the reservation up in the meantime. */
export async function handOver(sql: Query, app: number, id: string): Promise<boolean> {
  const rows = await sql`
    update messages set state = 'sending', state_at = now()
    where app = ${app} and id = ${id} and state = 'reserved' returning id`;
  return rows.length > 0;
}

/**
 * From `sending` or `unknown`, once; a message that came to rest stays as it is, but for a failure that was only
 * concluded: `sent` corrects it. May run twice.
 */
export async function settle(sql: Query, app: number, id: string, result: SendResult): Promise<boolean> {
  const rows =
    result.state === 'sent'
      ? await sql`
          update messages set state = 'sent', state_at = now(), error = null, message_id = ${result.messageId},
            provider_message_id = ${result.providerMessageId}
          where app = ${app} and id = ${id}
            and (state in ('sending', 'unknown') or state = 'failed' and error->>'kind' = ${CONCLUDED})
          returning id`
      : await sql`
          update messages set state = ${result.state}, state_at = now(), error = ${sql.json(result.error)}
          where app = ${app} and id = ${id} and state in ('sending', 'unknown') returning id`;
  return rows.length > 0;
}

/** Gives up a message that was never handed over. */
export async function abandon(sql: Query, app: number, id: string, reason: string): Promise<boolean> {
  const rows = await sql`
    update messages set state = 'failed', state_at = now(), error = ${sql.json({ kind: 'abandoned', reason })}
    where app = ${app} and id = ${id} and state = 'reserved' returning id`;
  return rows.length > 0;
}

/** By our wire id, the provider's id or a Message-ID in angle brackets; the newest when a Message-ID is not unique. */
export async function findMessage(
  sql: Query,
  app: number,
  grantId: string,
  reference: string,
): Promise<StoredMessage | null> {
  const own = fromWireId('msg', reference);
  const by = own
    ? sql`id = ${own}`
    : reference.startsWith('<')
      ? sql`message_id = ${reference}`
      : sql`provider_message_id = ${reference}`;
  const [row] = await sql<MessageRow[]>`
    select ${columns(sql)} from messages
    where app = ${app} and grant_id = ${grantId} and ${by}
    order by id desc limit 1`;
  return row ? toMessage(row) : null;
}

/** By its own id. `app` null: of any application. */
export async function messageById(sql: Query, app: number | null, id: string): Promise<StoredMessage | null> {
  const [row] = await sql<MessageRow[]>`
    select ${columns(sql)} from messages where id = ${id} ${app === null ? sql`` : sql`and app = ${app}`}`;
  return row ? toMessage(row) : null;
}

/**
 * Sends that did not come to rest, by ages in milliseconds: not handed over or not answered for `silent`, and `unknown`
 * ones not looked at for `lookAgain` that are younger than `lookFor`. Oldest first. The database's clock alone counts:
 * it wrote the times, and a node's own may be minutes ahead of it.
 */
export async function openSends(
  sql: Query,
  ages: { readonly silent: number; readonly lookAgain: number; readonly lookFor: number },
  limit: number,
): Promise<StoredMessage[]> {
  const ago = (ms: number) => sql`now() - ${ms}::float8 * interval '1 millisecond'`;
  const rows = await sql<MessageRow[]>`
    select ${columns(sql)} from messages
    where (state in ('reserved', 'sending') and state_at < ${ago(ages.silent)})
       or (state = 'unknown' and state_at < ${ago(ages.lookAgain)} and created_at > ${ago(ages.lookFor)})
    order by state_at limit ${limit}`;
  return rows.map(toMessage);
}

interface MessageRow {
  app: number;
  id: string;
  grant_id: string;
  state: MessageState;
  label: string;
  opens: boolean;
  links: boolean;
  thread_replies: boolean;
  message_id: string;
  provider_message_id: string | null;
  thread_id: string;
  ancestors: string[];
  subject: string;
  metadata: Record<string, string>;
  created_at: Date;
  state_at: Date;
}

function columns(sql: Query) {
  return sql`app, id, grant_id, state, label, opens, links, thread_replies, message_id, provider_message_id, thread_id,
    ancestors, subject, metadata, created_at, state_at`;
}

function toMessage(row: MessageRow): StoredMessage {
  return {
    app: row.app,
    id: row.id,
    grantId: row.grant_id,
    state: row.state,
    label: row.label,
    opens: row.opens,
    links: row.links,
    threadReplies: row.thread_replies,
    messageId: row.message_id,
    providerMessageId: row.provider_message_id,
    threadId: row.thread_id,
    ancestors: row.ancestors,
    subject: row.subject,
    metadata: row.metadata,
    createdAt: row.created_at,
    stateAt: row.state_at,
  };
}

/** Classes 22 (data exception) and 54 (program limit exceeded), and a violated check. */
function isUnstorable(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    (/^(22|54)/.test(error.code) || error.code === '23514')
  );
}
