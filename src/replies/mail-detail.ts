import { attachmentId } from '../attachment-id.ts';
import type { ContentAttachment, MailContent, MailParty } from '../providers/watch.ts';
import { snippet } from '../snippet.ts';
import type { MailAttachment, MailDetail } from '../tracking/mail-facts.ts';
import type { Party } from '../tracking/send-facts.ts';
import { receivedTime } from './received-time.ts';

export interface MailNames {
  /** As the wire has it, like `threadId`. */
  readonly id: string;
  readonly threadId: string;
  /** Of the grant, as shown on the wire. */
  readonly provider: string;
  /** Takes our own pixels and links out of a body, so that whoever looks at it is not counted. */
  readonly clean: BodyCleaner;
}

export interface BodyCleaner {
  html(body: string): string;
  text(body: string): string;
}

/** A mail that was read, as it is shown and told. Its body is the HTML part, else the text as it is, '' where there is neither. */
export function mailDetail(content: MailContent, { id, threadId, provider, clean }: MailNames): MailDetail {
  const { head, html, text } = content;
  const body = storable(html === null ? clean.text(text ?? '') : clean.html(html));
  return {
    provider,
    id,
    threadId,
    subject: storable(head.subject),
    from: parties(head.from),
    to: parties(head.to),
    cc: parties(head.cc),
    bcc: parties(head.bcc),
    replyTo: parties(head.replyTo),
    date: Math.floor(receivedTime(content.receivedAt).getTime() / 1000),
    body,
    snippet: snippet(body, html === null),
    starred: content.starred,
    unread: content.unread,
    folders: content.folders.map(storable),
    attachments: content.attachments.map((attachment, index) => attachmentOf(id, attachment, index)),
  };
}

/** The people of a field that can be written to. */
export function parties(people: readonly MailParty[]): Party[] {
  return people
    .filter(({ email }) => email !== '')
    .map(({ name, email }) => ({ name: storable(name), email: storable(email) }));
}

function attachmentOf(mail: string, attachment: ContentAttachment, index: number): MailAttachment {
  return {
    id: attachmentId(mail, index),
    filename: storable(attachment.filename),
    contentType: storable(attachment.contentType),
    size: attachment.size,
    isInline: attachment.isInline,
    contentId: attachment.contentId === null ? null : storable(attachment.contentId),
    contentDisposition: attachment.contentDisposition === null ? null : storable(attachment.contentDisposition),
  };
}

/** PostgreSQL keeps neither in JSON: the text of mails is told from there. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}
