// The message and the thread objects of contract 5.3 and 5.6.
import type { MailAttachment, MailDetail } from '../tracking/mail-facts.ts';
import type { StoredMessage } from '../tracking/messages.ts';

export type HeaderFields = 'none' | 'all' | 'basic';

export interface Extras {
  /** In their order, names in lower case. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** For a message of ours. */
  readonly message?: StoredMessage;
}

/** What `fields` asks for besides the message itself. */
export interface Fields {
  readonly headers: HeaderFields;
  readonly trackingOptions: boolean;
}

export const STANDARD: Fields = { headers: 'none', trackingOptions: false };

/** The whole message object, without nulls. */
export function mailToWire(
  grantId: string,
  mail: MailDetail,
  { headers = [], message }: Extras,
  fields: Fields,
): object {
  return {
    id: mail.id,
    object: 'message',
    grant_id: grantId,
    thread_id: mail.threadId,
    subject: mail.subject,
    body: mail.body ?? '',
    snippet: mail.snippet,
    from: mail.from,
    to: mail.to,
    cc: mail.cc,
    bcc: mail.bcc,
    reply_to: mail.replyTo,
    date: mail.date,
    folders: mail.folders,
    unread: mail.unread,
    starred: mail.starred,
    attachments: mail.attachments.map((attachment) => attachmentToWire(grantId, attachment)),
    ...(message !== undefined && Object.keys(message.metadata).length > 0 && { metadata: message.metadata }),
    ...(fields.trackingOptions && message !== undefined && { tracking_options: trackingOptions(message) }),
    ...(fields.headers !== 'none' && { headers: shownHeaders(headers, fields.headers) }),
  };
}

function attachmentToWire(grantId: string, attachment: MailAttachment): object {
  const { contentId, contentDisposition, isInline } = attachment;
  return {
    id: attachment.id,
    grant_id: grantId,
    filename: attachment.filename,
    content_type: attachment.contentType,
    size: attachment.size,
    content_disposition: contentDisposition ?? (isInline ? 'inline' : 'attachment'),
    is_inline: isInline,
    ...(contentId !== null && { content_id: contentId }),
  };
}

function trackingOptions({ opens, links, threadReplies, label }: StoredMessage): object {
  return { opens, links, thread_replies: threadReplies, label };
}

function shownHeaders(headers: NonNullable<Extras['headers']>, which: 'all' | 'basic'): object[] {
  return headers
    .filter(([name]) => which === 'all' || BASIC.test(name))
    .map(([name, value]) => ({ name: name.replace(/[^-]+/g, capitals), value }));
}

/** Of a header field in any case. */
export const BASIC = /^(message-id|in-reply-to|references)$/i;

/** As most mail programs write it: `Message-ID`. */
function capitals(word: string): string {
  return WHOLE.has(word) ? word.toUpperCase() : word.slice(0, 1).toUpperCase() + word.slice(1);
}

const WHOLE = new Set(['id', 'mime', 'dkim', 'arc', 'spf']);

/** Only the members that `select` names; what a client cannot do without stays. */
export function selected(object: object, select: readonly string[] | undefined): object {
  if (select === undefined) return object;
  const names = new Set([...select, 'id', 'object', 'grant_id']);
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.has(name)));
}
