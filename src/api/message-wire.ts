import { createHash } from 'node:crypto';
import type { Grant } from '../grants/grants.ts';
import { uuidText, wireId } from '../ids.ts';
import { type Attachment, type Header, headersOf } from '../send/compose.ts';
import type { Outgoing } from '../send/outgoing.ts';
import type { Sent } from '../send/send.ts';
import { snippet } from '../send/snippet.ts';

export type HeaderFields = 'none' | 'all' | 'basic';

/** The message as Send Message answers it (contract 5.2, 5.3): the body as its author wrote it, and no nulls. */
export function sentToWire(grant: Grant, mail: Outgoing, sent: Sent, fields: HeaderFields): object {
  const { opens, links, threadReplies, label } = sent.tracking;
  return {
    id: wireId('msg', sent.id),
    object: 'message',
    grant_id: grant.id,
    thread_id: sent.threadId,
    subject: mail.subject,
    body: mail.body,
    snippet: snippet(mail.body, mail.isPlaintext),
    from: [sent.from],
    to: mail.to,
    cc: mail.cc,
    bcc: mail.bcc,
    reply_to: mail.replyTo,
    date: Math.floor(sent.date.getTime() / 1000),
    folders: ['SENT'],
    unread: false,
    starred: false,
    attachments: mail.attachments.map((attachment, index) => attachmentToWire(grant, sent.id, attachment, index)),
    tracking_options: { opens, links, thread_replies: threadReplies, label },
    reply_to_message_id: mail.replyToMessageId,
    schedule_id: '',
    ...(Object.keys(mail.metadata).length > 0 && { metadata: mail.metadata }),
    ...(fields !== 'none' && { headers: headersOf(sent.raw).filter((header) => fields === 'all' || isBasic(header)) }),
  };
}

function attachmentToWire(grant: Grant, message: string, attachment: Attachment, index: number): object {
  return {
    id: wireId('att', attachmentId(message, index)),
    grant_id: grant.id,
    filename: attachment.filename,
    content_type: attachment.contentType,
    size: attachment.content.length,
    content_disposition: attachment.isInline ? 'inline' : 'attachment',
    is_inline: attachment.isInline,
    ...(attachment.contentId !== undefined && { content_id: attachment.contentId }),
  };
}

/** Follows from the message and the place in it, so that no row has to keep it. */
function attachmentId(message: string, index: number): string {
  return uuidText(createHash('sha256').update(`${message} ${index}`).digest().subarray(0, 16));
}

function isBasic({ name }: Header): boolean {
  return /^(message-id|in-reply-to|references)$/i.test(name);
}
