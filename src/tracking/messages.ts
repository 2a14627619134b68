import type postgres from 'postgres';
import type { Query } from '../db/pool.ts';
import { fromWireId } from '../ids.ts';
import type { TrackedLink } from './links.ts';
import { openMailboxesOf } from './open-mailboxes.ts';
import { factsOfSettled, type Telling } from './send-facts.ts';

export type MessageState = 'scheduled' | 'cancelled' | 'sending' | 'sent' | 'failed' | 'unknown';

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

/** `unstorable`: the database will not hold this record (too large, a NUL, a lone surrogate in JSON). `taken`: there is a message of this id. */
export type Reserved = 'reserved' | 'unstorable' | 'taken';

export interface Reservation {
  readonly message: TrackedMessage;
  readonly links: readonly TrackedLink[];
}

/**
 * Writes messages about to be handed over, or scheduled to be, with their links: a crash leaves a row to explain, and no
 * hit ever precedes what it belongs to. All or none; `refusedReservation` says whether it failed because of what they are.
 */
export async function reserveAll(
  sql: Query,
  reservations: readonly Reservation[],
  state: 'sending' | 'scheduled' = 'sending',
): Promise<void> {
  const messages = reservations.map(({ message, links }) => ({
    app: message.app,
    id: message.id,
    grant_id: message.grantId,
    label: message.label.toWellFormed(), // half an emoji would make all of the JSON unstorable
    opens: message.opens,
    links: message.links,
    thread_replies: message.threadReplies,
    link_count: links.length,
    message_id: message.messageId,
    thread_id: message.threadId,
    reply_to: message.ancestors.at(-1) ?? null,
    ancestors: [...message.ancestors],
    subject: message.subject.toWellFormed(),
    metadata: wellFormed(message.metadata),
  }));
  const links = reservations.flatMap(({ message, links: tracked }) =>
    tracked.map(({ index, url }) => ({
      app: message.app,
      message_id: message.id,
      link_index: index,
      url: url.toWellFormed(),
    })),
  );
  // One statement: a transaction of several would cost three more round trips.
  await sql`
    with message as (
      insert into messages (app, id, grant_id, state, label, opens, links, thread_replies, link_count, message_id,
        thread_id, reply_to, ancestors, subject, metadata)
      select app, id, grant_id, ${state}, label, opens, links, thread_replies, link_count, message_id, thread_id,
        reply_to, ancestors, subject, metadata
      from jsonb_to_recordset(${sql.json(messages)}) as m (app integer, id uuid, grant_id uuid, label text, opens boolean,
        links boolean, thread_replies boolean, link_count smallint, message_id text, thread_id text, reply_to text,
        ancestors text[], subject text, metadata jsonb)
    )
    insert into links (app, message_id, link_index, url)
    select app, message_id, link_index, url
    from jsonb_to_recordset(${sql.json(links)}) as l (app integer, message_id uuid, link_index smallint, url text)`;
}

function wellFormed(metadata: TrackedMessage['metadata']): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key.toWellFormed(), value.toWellFormed()]));
}

/** One message by itself. */
export async function reserve(sql: Query, message: TrackedMessage, links: readonly TrackedLink[]): Promise<Reserved> {
  try {
    await reserveAll(sql, [{ message, links }]);
    return 'reserved';
  } catch (error) {
    const refused = refusedReservation(error);
    if (refused !== null) return refused;
    throw error;
  }
}

export interface Settlement {
  readonly app: number;
  readonly id: string;
  readonly result: SendResult;
  readonly telling: Telling;
}

export interface Settled {
  /** The ids of the messages that changed. */
  readonly changed: ReadonlySet<string>;
  /** Facts lie in the outbox, once this is committed. */
  readonly told: boolean;
}

/**
 * From `sending` or `unknown`, once; a message that came to rest stays as it is, but for a failure that was only
 * concluded: `sent` corrects it. May run twice.
 *
 * With the outcome goes the fact of it, where the settlement asks for that. It also does where the message was not
 * `sending` any more: then nobody can have been answered what became of it.
 */
export async function settleAll(sql: Query, settlements: readonly Settlement[]): Promise<Settled> {
  // Those first by themselves: an index finds them, and what it leaves is known to have been in another state.
  const sending = await settleWhere(sql, settlements, sql`m.state = 'sending'`, sql`r.always`);
  const left = settlements.filter(({ id }) => !sending.changed.has(id));
  if (left.length === 0) return sending;
  const isOpen = sql`(m.state = 'unknown'
    or m.state = 'failed' and r.state = 'sent' and m.error->>'kind' = ${CONCLUDED})`;
  const others = await settleWhere(sql, left, isOpen, sql`true`);
  return { changed: new Set([...sending.changed, ...others.changed]), told: sending.told || others.told };
}

type Condition = postgres.PendingQuery<postgres.Row[]>;

/** Of messages `m` and results `r`; each with its fact in one statement. */
async function settleWhere(
  sql: Query,
  settlements: readonly Settlement[],
  isOpen: Condition,
  isTold: Condition,
): Promise<Settled> {
  const results = settlements.map(({ app, id, result, telling }) => ({
    app,
    id,
    state: result.state,
    ...telling,
    ...(result.state === 'sent'
      ? { message_id: result.messageId, provider_message_id: result.providerMessageId }
      : { error: result.error }),
  }));
  const rows = await sql<{ id: string; told: boolean }[]>`
    with settled as (
      update messages m set state = r.state, state_at = now(), error = r.error,
        message_id = coalesce(r.message_id, m.message_id),
        provider_message_id = case when r.state = 'sent' then r.provider_message_id else m.provider_message_id end
      from jsonb_to_recordset(${sql.json(results)}) as r (app integer, id uuid, state text, message_id text,
        provider_message_id text, error jsonb, always boolean, detail text)
      where m.app = r.app and m.id = r.id and ${isOpen}
      returning m.app, m.id, m.state, m.subject, r.detail, m.state <> 'unknown' and ${isTold} as told, m.grant_id,
        m.thread_replies
    ), facts as (${factsOfSettled(sql)}), opened as (${openMailboxesOf(sql)})
    select id, told from settled`;
  return { changed: new Set(rows.map(({ id }) => id)), told: rows.some(({ told }) => told) };
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
 * Sends that did not come to rest, by ages in milliseconds: not answered for `silent`, and `unknown`
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
    where (state = 'sending' and state_at < ${ago(ages.silent)})
       or (state = 'unknown' and state_at < ${ago(ages.lookAgain)} and created_at > ${ago(ages.lookFor)})
    order by state_at limit ${limit}`;
  return rows.map(toMessage);
}

/**
 * Ends what is still `reserved`: the version before wrote that before it handed a mail over, and a process of it may die
 * beside this one. Each is told. Returns how many.
 */
export async function failReserved(sql: Query, silentMs: number, { detail }: Telling): Promise<number> {
  const rows = await sql`
    with settled as (
      update messages set state = 'failed', state_at = now(),
        error = '{"kind": "abandoned", "reason": "the process ended before handing the mail over"}'
      where state = 'reserved' and state_at < now() - ${silentMs}::float8 * interval '1 millisecond'
      returning app, id, state, subject, ${detail}::text as detail, true as told
    ), facts as (${factsOfSettled(sql)})
    select id from settled`;
  return rows.length;
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

/** What a failure says about the messages themselves; null: nothing. */
export function refusedReservation(error: unknown): Exclude<Reserved, 'reserved'> | null {
  if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) return null;
  if (error.code === '23505') return 'taken';
  // Classes 22 (data exception) and 54 (program limit exceeded), and a violated check.
  return /^(22|54)/.test(error.code) || error.code === '23514' ? 'unstorable' : null;
}
