import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { domainToASCII } from 'node:url';
import MailComposer from 'nodemailer/lib/mail-composer';
import type { Blob } from '../db/blobs.ts';
import { headOf, type MailBytes } from '../providers/mail-bytes.ts';
import { type BlobReader, type ComposedMail, placeholderOf, streamed } from './streamed-mail.ts';

export interface Person {
  readonly name?: string;
  readonly email: string;
}

export interface Attachment {
  readonly filename: string;
  readonly contentType: string;
  /** A blob is read while the mail is handed over. */
  readonly content: Buffer | Blob;
  /** What `cid:` in the body refers to, without angle brackets. */
  readonly contentId?: string;
  readonly isInline: boolean;
}

export interface Header {
  readonly name: string;
  readonly value: string;
}

/** Everything that is seen of a mail. Whoever gets it as Bcc is only in the envelope, but for the sender's own copy. */
export interface MailParts {
  readonly messageId: string;
  readonly date: Date;
  readonly from: Person;
  readonly to: readonly Person[];
  readonly cc: readonly Person[];
  readonly bcc?: readonly Person[];
  readonly replyTo: readonly Person[];
  readonly subject: string;
  readonly body: string;
  readonly isPlaintext: boolean;
  /** The same in plain text, for readers without HTML. */
  readonly alternative?: string;
  readonly attachments: readonly Attachment[];
  readonly customHeaders: readonly Header[];
  /** Message-IDs of the thread, oldest first; the last is the one answered. */
  readonly ancestors: readonly string[];
}

/** Servers cut long References; like mail programs we keep the root and the newest. */
const MOST_ANCESTORS = 20;

/** Blobs of up to so many bytes together are put into a mail that lies whole in memory. */
const WHOLE = 1024 * 1024;

/**
 * The mail as bytes. The same parts give the same bytes: boundaries come from the Message-ID, and whether an attachment
 * is a blob does not show.
 */
export async function compose(mail: MailParts, reader: BlobReader): Promise<Buffer | ComposedMail> {
  const sum = mail.attachments.reduce((bytes, { content }) => bytes + (Buffer.isBuffer(content) ? 0 : content.size), 0);
  const attached: Attached[] = [];
  const later = new Map<Buffer, Blob>();
  for (const [at, { content, ...attachment }] of mail.attachments.entries()) {
    const isHeld = Buffer.isBuffer(content);
    if (isHeld || sum <= WHOLE || !isEncoded(attachment)) {
      attached.push({ ...attachment, content: isHeld ? content : await collected(reader.bytes(content)) });
    } else {
      const placeholder = placeholderOf(mail.messageId, at);
      later.set(placeholder, content);
      attached.push({ ...attachment, content: placeholder });
    }
  }
  const skeleton = await composeWhole({ ...mail, attachments: attached });
  return later.size === 0 ? skeleton : streamed(skeleton, later, reader);
}

/** As nodemailer does it: mails within mails stay as they are (RFC 2046 section 5.2.1 forbids base64 for them). */
function isEncoded({ contentType }: Pick<Attachment, 'contentType'>): boolean {
  return !/^message\//i.test(contentType);
}

async function collected(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

type Attached = Omit<Attachment, 'content'> & { readonly content: Buffer };
type Whole = Omit<MailParts, 'attachments'> & { readonly attachments: readonly Attached[] };

/** The same of a mail without blobs. */
export async function composeWhole(mail: Whole): Promise<Buffer> {
  const body = mail.isPlaintext
    ? { text: mail.body }
    : { html: mail.body, ...(mail.alternative !== undefined && { text: mail.alternative }) };
  const parent = mail.ancestors.at(-1);
  const composer = new MailComposer({
    ...body,
    messageId: mail.messageId,
    date: mail.date,
    from: [address(mail.from)],
    to: mail.to.map(address),
    subject: mail.subject,
    headers: mail.customHeaders.map(({ name, value }) => ({ key: name, value })),
    attachments: mail.attachments.map((attachment) => ({
      filename: attachment.filename,
      contentType: attachment.contentType,
      content: attachment.content,
      contentDisposition: attachment.isInline ? 'inline' : 'attachment',
      ...(attachment.contentId !== undefined && { cid: attachment.contentId }),
    })),
    ...(mail.cc.length > 0 && { cc: mail.cc.map(address) }),
    ...(mail.bcc !== undefined && mail.bcc.length > 0 && { bcc: mail.bcc.map(address) }),
    ...(mail.replyTo.length > 0 && { replyTo: mail.replyTo.map(address) }),
    ...(parent !== undefined && { inReplyTo: parent, references: [...mail.ancestors] }),
    encoding: 'quoted-printable',
    baseBoundary: createHash('sha256').update(mail.messageId).digest('hex').slice(0, 24),
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const root = composer.compile();
  root.keepBcc = mail.bcc !== undefined;
  return await written(root);
}

/** As its `build` with CRLF line ends, which sends every byte through three more streams: 0.1 ms of CPU a mail. */
function written(root: ReturnType<MailComposer['compile']>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return new Promise((resolve, reject) => {
    root.stream(sink, {}, (error) => {
      if (error) reject(error);
      else resolve(withLineEnds(Buffer.concat(chunks)));
    });
  });
}

/** Every line ends with CRLF, the last one too (RFC 5322 section 2.1). */
function withLineEnds(mail: Buffer): Buffer {
  const text = mail.toString('latin1');
  const ended = text.endsWith('\n') ? text : `${text}\n`;
  return Buffer.from(ended.replace(/(?<!\r)\n/g, '\r\n'), 'latin1');
}

/** `<id@domain-of-sender>` */
export function messageIdHeader(id: string, sender: string): string {
  return `<${id}@${domainToASCII(sender.slice(sender.lastIndexOf('@') + 1)) || 'localhost'}>`;
}

/** The References of an answer to `parent`, whose own are `ancestors`. */
export function threadOf(ancestors: readonly string[], parent: string): string[] {
  const all = [...ancestors.filter((id) => id !== parent), parent];
  return all.length <= MOST_ANCESTORS ? all : [...all.slice(0, 1), ...all.slice(1 - MOST_ANCESTORS)];
}

/** The header fields of a composed mail, unfolded, in their order. */
export function headersOf(mail: MailBytes): Header[] {
  const raw = headOf(mail);
  const end = raw.indexOf('\r\n\r\n');
  const block = raw.toString('latin1', 0, end < 0 ? raw.length : end).replace(/\r\n(?=[ \t])/g, '');
  return block.split('\r\n').map((line) => {
    const colon = line.indexOf(':');
    return { name: line.slice(0, colon), value: line.slice(colon + 1).trim() };
  });
}

function address({ name, email }: Person): { name: string; address: string } {
  return { name: name ?? '', address: email };
}
