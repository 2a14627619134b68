// Messages as mail in a mailbox answers them: found by what it names or quotes, always within one grant, so that a forged
// reference to somebody else's message finds nothing.
//
// State is no condition but where nothing can have been sent: a Message-ID has 74 random bits, so whoever names one has got
// the mail, also where its hand-over was taken for failed.
//
// Until it has statistics the planner takes any index that begins with the grant for as good as the one that is meant, and
// reads all messages of the grant for each question. So the innermost query names only what the one index holds; `offset 0`
// keeps the rest out of it.
import type postgres from 'postgres';
import type { Query, Tx } from '../db/pool.ts';
import { baseSubject } from './base-subject.ts';

/** Whose messages are looked for. */
export interface MailboxOf {
  readonly app: number;
  readonly grantId: string;
}

export interface TrackedRow {
  readonly id: string;
  /** The Message-ID header, with angle brackets. */
  readonly messageId: string;
  readonly threadId: string;
  /** Message-IDs of the thread up to the one this answers, oldest first. */
  readonly ancestors: readonly string[];
  readonly subject: string;
  readonly threadReplies: boolean;
  readonly createdAt: Date;
  /** When it was sent or its thread was last written in. */
  readonly lastAt: Date;
  /** What the provider calls its thread; null where that is not known. */
  readonly threadKey: string | null;
}

/** Hostile mail alone names more; then it is several statements. */
const IDS_AT_ONCE = 10_000;
const LONGEST_THREAD_KEY = 500;
const MOST_OPEN = 5_000;
const MOST_SUBJECTS = 1_000;

/** By Message-ID as it is written, with angle brackets; the newest where several have it. */
export async function messagesByHeader(
  sql: Query,
  mailbox: MailboxOf,
  headers: readonly string[],
): Promise<Map<string, TrackedRow>> {
  const rows = await inParts(
    headers,
    (part) => sql<Row[]>`
      select ${columns(sql)}
      from unnest(${[...part]}::text[]) as wanted (header)
      cross join lateral (
        select * from messages where app = ${mailbox.app} and message_id = wanted.header and ${mayBeOut(sql)}
        order by created_at limit 10
      ) as m
      where m.grant_id = ${mailbox.grantId}`,
  );
  return new Map(rows.map((row) => [row.message_id, toTracked(row)]));
}

/** By database id. */
export async function messagesByIds(
  sql: Query,
  mailbox: MailboxOf,
  ids: readonly string[],
): Promise<Map<string, TrackedRow>> {
  const rows = await inParts(
    ids,
    (part) => sql<Row[]>`
      select ${columns(sql)}
      from unnest(${[...part]}::uuid[]) as wanted (id)
      cross join lateral (
        select * from messages where app = ${mailbox.app} and id = wanted.id and ${mayBeOut(sql)} limit 1
      ) as m
      where m.grant_id = ${mailbox.grantId}`,
  );
  return new Map(rows.map((row) => [row.id, toTracked(row)]));
}

/** For each message the newest of its thread before it whose replies are tracked; by the id of the message given. */
export async function trackedBefore(
  sql: Query,
  mailbox: MailboxOf,
  messages: readonly TrackedRow[],
): Promise<Map<string, TrackedRow>> {
  if (messages.length === 0) return new Map();
  const rows = await sql<(Row & { after: string })[]>`
    select wanted.id as after, ${columns(sql)}
    from unnest(
      ${messages.map(({ id }) => id)}::uuid[], ${messages.map(({ threadId }) => threadId)}::text[]
    ) as wanted (id, thread_id)
    cross join lateral (
      select * from (
        select * from messages where app = ${mailbox.app} and grant_id = ${mailbox.grantId}
          and thread_id = wanted.thread_id offset 0
      ) as thread
      where thread_replies and id < wanted.id and ${mayBeOut(sql)} order by created_at desc limit 1
    ) as m`;
  return new Map(rows.map((row) => [row.after, toTracked(row)]));
}

/** For each the newest message of the provider's thread that was sent by then and whose replies are tracked. */
export async function trackedInProviderThreads(
  sql: Query,
  mailbox: MailboxOf,
  wanted: readonly { readonly key: string; readonly by: Date }[],
): Promise<(TrackedRow | null)[]> {
  const askable = [...wanted.entries()].filter(([, { key }]) => isThreadKey(key));
  const found: (TrackedRow | null)[] = wanted.map(() => null);
  if (askable.length === 0) return found;
  const rows = await sql<(Row & { number: number })[]>`
    select wanted.number, ${columns(sql)}
    from unnest(
      ${askable.map(([number]) => number)}::integer[], ${askable.map(([, { key }]) => key)}::text[],
      ${askable.map(([, { by }]) => by.toISOString())}::timestamptz[]
    ) as wanted (number, key, by)
    cross join lateral (
      select * from (
        select * from messages where app = ${mailbox.app} and grant_id = ${mailbox.grantId}
          and provider_thread_id = wanted.key offset 0
      ) as thread
      where thread_replies and created_at <= wanted.by and ${mayBeOut(sql)} order by created_at desc limit 1
    ) as m`;
  for (const row of rows) found[row.number] = toTracked(row);
  return found;
}

/** Something was written in the threads of these messages. A time to come, as only a wrong clock has, counts as now. */
export async function touchThreads(
  tx: Tx,
  app: number,
  written: readonly { readonly id: string; readonly at: Date }[],
): Promise<void> {
  if (written.length === 0) return;
  await tx`
    update messages m set active_at = latest.at
    from (
      select id, least(max(at), now()) as at
      from unnest(
        ${written.map(({ id }) => id)}::uuid[], ${written.map(({ at }) => at.toISOString())}::timestamptz[]
      ) as written (id, at) group by id
    ) as latest
    where m.app = ${app} and m.id = latest.id and (m.active_at is null or m.active_at < latest.at)`;
}

/** What the provider calls the message's thread: the first that is said stays. */
export async function keepThreadKey(tx: Tx, app: number, id: string, key: string): Promise<void> {
  if (!isThreadKey(key)) return;
  await tx`
    update messages set provider_thread_id = ${key} where app = ${app} and id = ${id} and provider_thread_id is null`;
}

export interface OpenMessages {
  /** {@link baseSubject}s of the newest ones, each once; none is empty. */
  readonly subjects: readonly string[];
  /** When the oldest was written; null: none is open. */
  readonly oldest: Date | null;
}

/** The messages of a mailbox whose answers still count: sent, or written to, within so many days. */
export async function openMessages(sql: Query, app: number, grantId: string, days: number): Promise<OpenMessages> {
  const isOpen = sql`app = ${app} and grant_id = ${grantId} and thread_replies and state in ('sending', 'sent', 'unknown')`;
  const since = sql`now() - ${days}::float8 * interval '1 day'`;
  // A thread whose message is older than the window was being watched all the time: it moves no beginning.
  const [subjects, [first]] = await Promise.all([
    sql<{ subject: string }[]>`
      select subject from (
        (select subject, state_at as at from messages where ${isOpen} and state_at > ${since}
          order by state_at desc limit ${MOST_OPEN})
        union all
        (select subject, active_at from messages where ${isOpen} and active_at > ${since} and state_at <= ${since}
          order by active_at desc limit ${MOST_OPEN})
      ) as open group by subject order by max(at) desc limit ${MOST_SUBJECTS}`,
    // Those first sent, not only the first: one whose outcome was found out late was written before its neighbours.
    sql<{ oldest: Date | null }[]>`
      select min(created_at) as oldest from (
        select created_at from messages where ${isOpen} and state_at > ${since} order by state_at limit 1000
      ) as first`,
  ]);
  const bases = new Set(subjects.map(({ subject }) => baseSubject(subject)));
  bases.delete('');
  return { subjects: [...bases], oldest: first?.oldest ?? null };
}

interface Row {
  id: string;
  message_id: string;
  thread_id: string;
  ancestors: string[];
  subject: string;
  thread_replies: boolean;
  created_at: Date;
  last_at: Date;
  provider_thread_id: string | null;
}

function columns(sql: Query): postgres.PendingQuery<postgres.Row[]> {
  return sql`m.id, m.message_id, m.thread_id, m.ancestors, m.subject, m.thread_replies, m.created_at,
    greatest(m.state_at, m.active_at) as last_at, m.provider_thread_id`;
}

function mayBeOut(sql: Query): postgres.PendingQuery<postgres.Row[]> {
  return sql`state not in ('scheduled', 'cancelled')`;
}

function toTracked(row: Row): TrackedRow {
  return {
    id: row.id,
    messageId: row.message_id,
    threadId: row.thread_id,
    ancestors: row.ancestors,
    subject: row.subject,
    threadReplies: row.thread_replies,
    createdAt: row.created_at,
    lastAt: row.last_at,
    threadKey: row.provider_thread_id,
  };
}

async function inParts<T>(all: readonly string[], ask: (part: readonly string[]) => PromiseLike<T[]>): Promise<T[]> {
  const distinct = [...new Set(all)];
  const parts: PromiseLike<T[]>[] = [];
  for (let at = 0; at < distinct.length; at += IDS_AT_ONCE) parts.push(ask(distinct.slice(at, at + IDS_AT_ONCE)));
  return (await Promise.all(parts)).flat();
}

/** PostgreSQL holds no NUL, and no index row of 2,700 bytes. */
function isThreadKey(key: string): boolean {
  return key !== '' && key.length <= LONGEST_THREAD_KEY && !key.includes('\0');
}
