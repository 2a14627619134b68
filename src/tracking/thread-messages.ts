import type { Query } from '../db/pool.ts';

export interface ThreadMessage {
  /** UUIDv7. */
  readonly id: string;
  /** The Message-ID header. */
  readonly messageId: string;
  readonly subject: string;
  /** When it was written down to be handed over. */
  readonly createdAt: Date;
}

/** The messages of a grant's thread that went out, or may have; newest first, at most `most`. */
export async function threadMessages(
  sql: Query,
  app: number,
  grantId: string,
  threadId: string,
  most: number,
): Promise<ThreadMessage[]> {
  return await sql<ThreadMessage[]>`
    select id, message_id as "messageId", subject, created_at as "createdAt" from messages
    where app = ${app} and grant_id = ${grantId} and thread_id = ${threadId} and state in ('sending', 'sent', 'unknown')
    order by id desc limit ${most}`;
}
