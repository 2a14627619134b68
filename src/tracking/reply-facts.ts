// What is told of a reply: written with the event that counts it, read at delivery.
import type { FactDetail } from '../db/outbox.ts';
import { isObject, isTextOrNull } from './stored-detail.ts';

export interface ReplyDetail {
  /** Of the reply, as the wire has it. */
  readonly messageId: string;
  /** Of what it answers directly, as the wire has it; null where that is not known. */
  readonly replyToMessageId: string | null;
  /** Of the tracked message's thread, as the wire has it. */
  readonly threadId: string;
  /** Written by the grant's own address. */
  readonly fromSelf: boolean;
  /** Written by a machine (RFC 3834). */
  readonly autoReply: boolean;
}

/** To go with the occurrence that is recorded of the reply. */
export function replyDetail(reply: ReplyDetail): FactDetail {
  return {
    message_id: reply.messageId,
    reply_to_message_id: reply.replyToMessageId,
    thread_id: reply.threadId,
    from_self: reply.fromSelf,
    auto_reply: reply.autoReply,
  };
}

/** What `replyDetail` made, read back from the database. Null for anything else. */
export function readReplyDetail(stored: unknown): ReplyDetail | null {
  if (!isObject(stored)) return null;
  const { message_id: messageId, reply_to_message_id: replyToMessageId, thread_id: threadId } = stored;
  const { from_self: fromSelf, auto_reply: autoReply } = stored;
  if (typeof messageId !== 'string' || !isTextOrNull(replyToMessageId) || typeof threadId !== 'string') return null;
  if (typeof fromSelf !== 'boolean' || typeof autoReply !== 'boolean') return null;
  return { messageId, replyToMessageId, threadId, fromSelf, autoReply };
}
