// What is kept of mail that was found in a watched mailbox: ids and places, never its text.
import type { Query } from '../db/pool.ts';
import { uuidv7 } from '../ids.ts';
import { type AnswerClass, IN_SENT } from './answer-class.ts';

export interface Received {
  /** The same for every copy of the mail (./mark.ts). */
  readonly mark: Buffer;
  /** Where it has one already, as a message of ours does. */
  readonly id: string | null;
  /** Wire id. */
  readonly threadId: string;
  /** Its Message-ID; '' for none. */
  readonly messageId: string;
  /** The tracked message that it answers; null: none. */
  readonly rootId: string | null;
  readonly class: AnswerClass | 'unrelated';
  readonly reasons: readonly string[];
  readonly place: string;
  readonly receivedAt: Date;
}

/**
 * Keeps mails, each once, and returns the ids of those that are news, by their marks in hex: never seen before, or seen
 * only as unrelated and now known to answer something, or a person's reply where only one of the `silent` classes was seen
 * that bore its Message-ID. Whoever is given an id alone tells of the mail, in this transaction.
 */
export async function keepReceived(
  sql: Query,
  app: number,
  grantId: string,
  mails: readonly Received[],
  silent: readonly AnswerClass[] = [],
): Promise<ReadonlyMap<string, string>> {
  if (mails.length === 0) return new Map();
  const rows = [...new Map(mails.toReversed().map((mail) => [mail.mark.toString('hex'), mail]))]
    .sort(([a], [b]) => (a < b ? -1 : 1)) // so that two transactions lock them in one order
    .map(([mark, { id, threadId, messageId, rootId, class: kind, reasons, place, receivedAt }]) => ({
      mark,
      id: id ?? uuidv7(),
      thread_id: threadId,
      message_id: storable(messageId),
      root_id: rootId,
      class: kind,
      reasons: [...reasons],
      place: storable(place),
      received_at: receivedAt.toISOString(),
    }));
  const news = await sql<{ mark: string; id: string }[]>`
    insert into received_messages as known
      (app, grant_id, mark, id, thread_id, message_id, root_id, class, reasons, place, received_at)
    select ${app}, ${grantId}, decode(mark, 'hex'), id, thread_id, message_id, root_id, class, reasons, place, received_at
    from jsonb_to_recordset(${sql.json(rows)}) as mail (mark text, id uuid, thread_id text, message_id text, root_id uuid,
      class text, reasons text[], place text, received_at timestamptz)
    on conflict (app, grant_id, mark) do update set
      root_id = excluded.root_id, thread_id = excluded.thread_id, class = excluded.class, reasons = excluded.reasons,
      place = excluded.place, received_at = excluded.received_at
    where excluded.root_id is not null and (known.root_id is null or excluded.class = 'reply'
      and known.class = any(${[...silent]}::text[]) and not ${IN_SENT} = any(known.reasons))
    returning encode(mark, 'hex') as mark, id`;
  return new Map(news.map(({ mark, id }) => [mark, id]));
}

/** Those of the marks that are kept already, in hex, with the threads of their mails (wire ids). */
export async function knownMarks(
  sql: Query,
  app: number,
  grantId: string,
  marks: readonly Buffer[],
): Promise<ReadonlyMap<string, string>> {
  if (marks.length === 0) return new Map();
  // `order by mark limit 1` holds the planner to one probe of the key for each: without statistics it reads all of a grant's.
  const rows = await sql<{ mark: string; thread: string }[]>`
    select encode(wanted.mark, 'hex') as mark, known.thread_id as thread
    from (select decode(hex, 'hex') as mark from unnest(${marks.map((mark) => mark.toString('hex'))}::text[]) as hex) wanted
    cross join lateral (
      select mark, thread_id from received_messages
      where app = ${app} and grant_id = ${grantId} and mark >= wanted.mark order by mark limit 1
    ) as known
    where known.mark = wanted.mark`;
  return new Map(rows.map(({ mark, thread }) => [mark, thread]));
}

/** PostgreSQL stores no NUL, and no half of a surrogate pair in JSON. */
function storable(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}
