import type { Sql } from '../db/pool.ts';
import type { Grant } from '../grants/grants.ts';
import { findMessage } from '../tracking/messages.ts';
import { threadOf } from './compose.ts';
import { unknownParentRefusal } from './refusals.ts';

/** A mail of others that may be answered, by our wire id or by its Message-ID in angle brackets; null where none is known. */
export type FindReceived = (
  app: number,
  grantId: string,
  reference: string,
) => Promise<{
  /** Wire id. */
  readonly threadId: string;
  /** Message-IDs that are known to stand above it, oldest first. */
  readonly ancestors: readonly string[];
  readonly messageId: string | null;
} | null>;

export interface AnsweredThreadDeps {
  readonly sql: Sql;
  readonly findReceived: FindReceived;
}

/** Where an answer stands. */
export interface AnsweredThread {
  /** Wire id; null for a new thread. */
  readonly id: string | null;
  /** Message-IDs, oldest first; the last is the one answered. */
  readonly ancestors: readonly string[];
}

const MESSAGE_ID = /^<[!-;=?-~]+@[!-;=?-~]+>$/;
const LONGEST_MESSAGE_ID = 998; // a header line, RFC 5322 section 2.1.1

/** The thread that a mail with this `reply_to_message_id` continues (D27); '' begins a new one. */
export async function answeredThread(
  deps: AnsweredThreadDeps,
  grant: Pick<Grant, 'app' | 'id'>,
  reference: string,
): Promise<AnsweredThread> {
  if (reference === '') return { id: null, ancestors: [] };
  const bracketed = reference.startsWith('<') ? reference : `<${reference}>`;
  const header = bracketed.length <= LONGEST_MESSAGE_ID && MESSAGE_ID.test(bracketed) ? bracketed : null;
  const parent = reference.includes('\0')
    ? null
    : await findMessage(deps.sql, grant.app, grant.id, header ?? reference);
  if (parent) return { id: parent.threadId, ancestors: threadOf(parent.ancestors, parent.messageId) };
  const received = reference.includes('\0') ? null : await deps.findReceived(grant.app, grant.id, header ?? reference);
  if (received) {
    const { threadId: id, ancestors, messageId } = received;
    return { id, ancestors: messageId === null ? ancestors : threadOf(ancestors, messageId) };
  }
  if (header === null) throw unknownParentRefusal(reference);
  return { id: null, ancestors: [header] };
}
