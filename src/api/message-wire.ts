import { attachmentId } from '../attachment-id.ts';
import type { Grant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import { type Attachment, headersOf } from '../send/compose.ts';
import type { Outgoing } from '../send/outgoing.ts';
import type { ScheduledMail } from '../send/schedules.ts';
import type { Sent } from '../send/send.ts';
import { snippet } from '../snippet.ts';
import { BASIC, type HeaderFields } from './mail-wire.ts';

/** The message as Send Message answers it (contract 5.2, 5.3): the body as its author wrote it, and no nulls. */
export function sentToWire(grant: Grant, mail: Outgoing, sent: Sent, fields: HeaderFields): object {
  return {
    ...mailToWire(grant, mail, sent),
    folders: ['SENT'],
    schedule_id: '',
    ...(fields !== 'none' && {
      headers: headersOf(sent.raw).filter(({ name }) => fields === 'all' || BASIC.test(name)),
    }),
  };
}

/** The same of one that leaves later; `sendAt` in Unix seconds. */
export function scheduledToWire(grant: Grant, mail: Outgoing, scheduled: ScheduledMail, sendAt: number): object {
  return {
    ...mailToWire(grant, mail, scheduled),
    folders: [],
    schedule_id: scheduled.scheduleId,
    send_at: sendAt,
    use_draft: false,
  };
}

type Written = Omit<Sent, 'raw' | 'warnings'>;

function mailToWire(grant: Grant, mail: Outgoing, { tracking, ...written }: Written): object {
  const { opens, links, threadReplies, label } = tracking;
  const id = wireId('msg', written.id);
  return {
    id,
    object: 'message',
    grant_id: grant.id,
    thread_id: written.threadId,
    subject: mail.subject,
    body: mail.body,
    snippet: snippet(mail.body, mail.isPlaintext),
    from: [written.from],
    to: mail.to,
    cc: mail.cc,
    bcc: mail.bcc,
    reply_to: mail.replyTo,
    date: Math.floor(written.date.getTime() / 1000),
    unread: false,
    starred: false,
    attachments: attachmentsToWire(grant, id, mail),
    tracking_options: { opens, links, thread_replies: threadReplies, label },
    reply_to_message_id: mail.replyToMessageId,
    ...(Object.keys(mail.metadata).length > 0 && { metadata: mail.metadata }),
  };
}

/** `owner`: the wire id of the message or draft. */
export function attachmentsToWire(grant: Grant, owner: string, mail: Outgoing): object[] {
  const places = inMailOrder(mail);
  return mail.attachments.map((attachment) => attachmentToWire(grant, owner, attachment, places.indexOf(attachment)));
}

function attachmentToWire(grant: Grant, message: string, attachment: Attachment, index: number): object {
  return {
    id: attachmentId(message, index),
    grant_id: grant.id,
    filename: attachment.filename,
    content_type: attachment.contentType,
    size: Buffer.isBuffer(attachment.content) ? attachment.content.length : attachment.content.size,
    content_disposition: attachment.isInline ? 'inline' : 'attachment',
    is_inline: attachment.isInline,
    ...(attachment.contentId !== undefined && { content_id: attachment.contentId }),
  };
}

/** As they lie in the mail, and are met when it is read: what an HTML body refers to lies beside that body. */
function inMailOrder({ attachments, body, isPlaintext }: Outgoing): readonly Attachment[] {
  if (isPlaintext || body === '') return attachments;
  const isBeside = ({ contentId }: Attachment): boolean => contentId !== undefined;
  return [...attachments.filter(isBeside), ...attachments.filter((attachment) => !isBeside(attachment))];
}
