// Mail of others that is known here, to be shown: found by its names, and kept where it was last seen.
import type { Query } from '../db/pool.ts';
import { fromWireId } from '../ids.ts';
import { messageById } from '../tracking/messages.ts';
import { messageIdMark } from './mark.ts';
import type { Received } from './received.ts';

export interface KnownMail {
  readonly app: number;
  readonly grantId: string;
  readonly mark: Buffer;
  /** UUIDv7; where it is a message of ours as well, that one's. */
  readonly id: string;
  /** Wire id. */
  readonly threadId: string;
  /** With angle brackets; null for none. */
  readonly messageId: string | null;
  /** The tracked message that it answers; null: none. */
  readonly rootId: string | null;
  readonly class: Received['class'];
  readonly place: string;
  readonly receivedAt: Date;
}

/** By our wire id or a Message-ID in angle brackets. */
export async function findKnownMail(
  sql: Query,
  app: number,
  grantId: string,
  reference: string,
): Promise<KnownMail | null> {
  const own = fromWireId('msg', reference);
  if (own === null && !reference.startsWith('<')) return null;
  const by = own === null ? sql`mark = ${messageIdMark(reference)}` : sql`id = ${own}`;
  const [row] = await sql<KnownMail[]>`
    select ${columns(sql)} from received_messages
    where app = ${app} and grant_id = ${grantId} and ${by}
    order by received_at limit 1`;
  return row ?? null;
}

export interface KnownParent {
  /** Wire id. */
  readonly threadId: string;
  /** Message-IDs that are known to stand above it, oldest first. */
  readonly ancestors: readonly string[];
  /** With angle brackets; null for none. */
  readonly messageId: string | null;
}

/** A mail as one that is to be answered: named as in {@link findKnownMail}. */
export async function findKnownParent(
  sql: Query,
  app: number,
  grantId: string,
  reference: string,
): Promise<KnownParent | null> {
  const mail = await findKnownMail(sql, app, grantId, reference);
  if (mail === null) return null;
  const { threadId, messageId, rootId } = mail;
  const root = rootId === null ? null : await messageById(sql, app, rootId);
  return { threadId, messageId, ancestors: root === null ? [] : [...root.ancestors, root.messageId] };
}

/** Of a grant's thread; newest first, at most `most`. */
export async function knownInThread(
  sql: Query,
  app: number,
  grantId: string,
  threadId: string,
  most: number,
): Promise<KnownMail[]> {
  return await sql<KnownMail[]>`
    select ${columns(sql)} from received_messages
    where app = ${app} and grant_id = ${grantId} and thread_id = ${threadId}
    order by received_at desc, id desc limit ${most}`;
}

/** It was found elsewhere. Where another call has found it meanwhile, that stands. */
export async function keepPlace(sql: Query, mail: KnownMail, place: string): Promise<void> {
  await sql`
    update received_messages set place = ${place}
    where app = ${mail.app} and grant_id = ${mail.grantId} and mark = ${mail.mark} and place = ${mail.place}`;
}

function columns(sql: Query) {
  return sql`app, grant_id as "grantId", mark, id, thread_id as "threadId", nullif(message_id, '') as "messageId", class,
    root_id as "rootId",    place, received_at as "receivedAt"`;
}
