// What is told of mail that arrived in a mailbox: written when it is found there, read at delivery.
import type { Fact } from '../db/outbox.ts';
import type { ContentAttachment } from '../providers/watch.ts';
import type { Party } from './send-facts.ts';
import { isObject, isParties, isTextOrNull, isTexts } from './stored-detail.ts';

/** A payload of mail is no larger than this (contract 3.6, "1 MB"): a larger one goes without the body. */
export const MAIL_PAYLOAD_BYTES = 1_000_000;

export interface MailAttachment extends Omit<ContentAttachment, 'part'> {
  /** As the wire has it. */
  readonly id: string;
}

/** A message as `GET /messages/{id}` shows it (contract 2.8); ids as the wire has them. */
export interface MailDetail {
  /** Of the grant, as shown on the wire. */
  readonly provider: string;
  readonly id: string;
  readonly threadId: string;
  readonly subject: string;
  readonly from: readonly Party[];
  readonly to: readonly Party[];
  readonly cc: readonly Party[];
  readonly bcc: readonly Party[];
  readonly replyTo: readonly Party[];
  /** Unix seconds. */
  readonly date: number;
  /** Null: too large to be told. */
  readonly body: string | null;
  readonly snippet: string;
  readonly starred: boolean;
  readonly unread: boolean;
  readonly folders: readonly string[];
  readonly attachments: readonly MailAttachment[];
}

export interface ToldMail extends MailDetail {
  readonly app: number;
  readonly grantId: string;
  /** When it was found. */
  readonly happenedAt: Date;
}

/** The fact to be emitted in the transaction that moves the mailbox's cursor past the mail. */
export function mailFact({ app, grantId, happenedAt, ...mail }: ToldMail): Fact {
  const isTooLarge = mail.body !== null && Buffer.byteLength(mail.body) > MAIL_PAYLOAD_BYTES;
  const detail = {
    provider: mail.provider,
    id: mail.id,
    thread_id: mail.threadId,
    subject: mail.subject,
    from: mail.from.map(stored),
    to: mail.to.map(stored),
    cc: mail.cc.map(stored),
    bcc: mail.bcc.map(stored),
    reply_to: mail.replyTo.map(stored),
    date: mail.date,
    body: isTooLarge ? null : mail.body,
    snippet: mail.snippet,
    starred: mail.starred,
    unread: mail.unread,
    folders: mail.folders,
    attachments: mail.attachments.map((attachment) => ({
      id: attachment.id,
      filename: attachment.filename,
      content_type: attachment.contentType,
      size: attachment.size,
      is_inline: attachment.isInline,
      content_id: attachment.contentId,
      content_disposition: attachment.contentDisposition,
    })),
  };
  const about = { messageId: null, sequence: null, linkCounts: null, subject: grantId };
  return { app, trigger: 'message.created', ...about, detail, happenedAt };
}

function stored({ name, email }: Party): { readonly name: string; readonly email: string } {
  return { name, email };
}

/** What `mailFact` told, read back from the database. Null for anything else. */
export function readMailDetail(value: unknown): MailDetail | null {
  if (!isObject(value)) return null;
  const { provider, id, thread_id: threadId, subject, date, body, snippet, starred, unread, folders } = value;
  const { from, to, cc, bcc, reply_to: replyTo } = value;
  const attachments = Array.isArray(value.attachments) ? value.attachments.map(readAttachment) : [null];
  if (typeof provider !== 'string' || typeof id !== 'string' || typeof threadId !== 'string') return null;
  if (typeof subject !== 'string' || typeof date !== 'number' || !isTextOrNull(body)) return null;
  if (typeof snippet !== 'string' || typeof starred !== 'boolean' || typeof unread !== 'boolean') return null;
  if (!isTexts(folders) || !isParties(from) || !isParties(to) || !isParties(cc) || !isParties(bcc)) return null;
  if (!isParties(replyTo) || !isWhole(attachments)) return null;
  const parties = { from, to, cc, bcc, replyTo };
  return { provider, id, threadId, subject, ...parties, date, body, snippet, starred, unread, folders, attachments };
}

function readAttachment(value: unknown): MailAttachment | null {
  if (!isObject(value)) return null;
  const { id, filename, content_type: contentType, size, is_inline: isInline } = value;
  const { content_id: contentId, content_disposition: contentDisposition } = value;
  if (typeof id !== 'string' || typeof filename !== 'string' || typeof contentType !== 'string') return null;
  if (typeof size !== 'number' || typeof isInline !== 'boolean') return null;
  if (!isTextOrNull(contentId) || !isTextOrNull(contentDisposition)) return null;
  return { id, filename, contentType, size, isInline, contentId, contentDisposition };
}

function isWhole(attachments: readonly (MailAttachment | null)[]): attachments is readonly MailAttachment[] {
  return attachments.every((attachment) => attachment !== null);
}
