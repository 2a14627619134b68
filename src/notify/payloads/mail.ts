// Contract 2.8: mail that arrived. Its grant is named in the object alone.
import { MAIL_PAYLOAD_BYTES, type MailAttachment, type MailDetail } from '../../tracking/mail-facts.ts';
import type { AnyState, Contents } from './state.ts';

export interface MailState extends AnyState<'message.created'> {
  readonly detail: MailDetail;
}

export function mailContents({ applicationId, grantId, detail }: MailState): Contents {
  const object = {
    id: detail.id,
    grant_id: grantId,
    object: 'message',
    thread_id: detail.threadId,
    subject: detail.subject,
    from: detail.from,
    to: detail.to,
    cc: detail.cc,
    bcc: detail.bcc,
    reply_to: detail.replyTo,
    date: detail.date,
    ...(detail.body === null ? {} : { body: detail.body }),
    snippet: detail.snippet,
    starred: detail.starred,
    unread: detail.unread,
    folders: detail.folders,
    attachments: detail.attachments.map((attachment) => attachmentOf(attachment, grantId)),
  };
  return { source: `/${detail.provider}/emails/realtime`, data: { application_id: applicationId, object } };
}

function attachmentOf(attachment: MailAttachment, grantId: string): object {
  const { contentId, contentDisposition, isInline } = attachment;
  return {
    id: attachment.id,
    filename: attachment.filename,
    content_type: attachment.contentType,
    size: attachment.size,
    is_inline: isInline,
    ...(contentId === null ? {} : { content_id: contentId }),
    content_disposition: contentDisposition ?? (isInline ? 'inline' : 'attachment'), // as GET shows it
    grant_id: grantId,
  };
}

// The envelope has about 300 bytes; no character takes more than 6 bytes of JSON.
const ENVELOPE_BYTES = 1_000;
const MOST_BYTES_EACH = 6;

/** Without its body where the payload would be larger than a receiver has to take. */
export function fitting(state: MailState): MailState {
  const { body } = state.detail;
  if (body === null) return state;
  const truncated: MailState = { ...state, detail: { ...state.detail, body: null } };
  const rest = ENVELOPE_BYTES + Buffer.byteLength(JSON.stringify(mailContents(truncated)));
  if (rest + body.length * MOST_BYTES_EACH <= MAIL_PAYLOAD_BYTES) return state;
  return rest + Buffer.byteLength(JSON.stringify(body)) <= MAIL_PAYLOAD_BYTES ? state : truncated;
}
