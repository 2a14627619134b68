// A kept mail as its reader would see it. Mail is hostile by nature: what is made here is shown in a sandboxed frame
// under a policy of its own, without scripts, forms, frames and top navigation.
import PostalMime, { type Address, type Attachment, type Email } from 'postal-mime';
import { plainText } from '../snippet.ts';

export interface ReadMail {
  readonly subject: string;
  readonly from: readonly ReadPerson[];
  readonly to: readonly ReadPerson[];
  readonly cc: readonly ReadPerson[];
  readonly reply_to: readonly ReadPerson[];
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly has_html: boolean;
  readonly text: string;
  readonly attachments: readonly ReadAttachment[];
}

export interface ReadPerson {
  readonly name?: string;
  readonly email: string;
}

export interface ReadAttachment {
  readonly index: number;
  readonly filename: string;
  readonly content_type: string;
  readonly size: number;
  readonly is_inline: boolean;
}

export async function parseMail(raw: Buffer): Promise<Email> {
  return await PostalMime.parse(raw, { rfc822Attachments: true });
}

export function readMail(mail: Email): ReadMail {
  return {
    subject: mail.subject ?? '',
    from: persons(mail.from ? [mail.from] : []),
    to: persons(mail.to),
    cc: persons(mail.cc),
    reply_to: persons(mail.replyTo),
    headers: mail.headers.map(({ originalKey, value }) => ({ name: originalKey, value })),
    has_html: mail.html !== undefined,
    text: textOf(mail),
    attachments: mail.attachments.map((attachment, index) => ({
      index,
      filename: attachment.filename ?? `attachment-${index + 1}`,
      content_type: attachment.mimeType,
      size: contentOf(attachment).length,
      is_inline: attachment.disposition === 'inline' || attachment.related === true,
    })),
  };
}

/** Its plain text part, else the text of its HTML. */
export function textOf(mail: Email): string {
  return mail.text ?? plainText(mail.html ?? '');
}

/** The policy a mail is shown under; it holds also when the address is opened outside of the frame. */
export function viewPolicy(images: boolean): string {
  return [
    "default-src 'none'",
    `img-src data:${images ? ' http: https:' : ''}`,
    "style-src 'unsafe-inline'",
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'self'",
    'sandbox allow-popups allow-popups-to-escape-sandbox',
  ].join('; ');
}

/** The document for the frame: the mail's own HTML with its inline pictures, or its text. */
export function viewDocument(mail: Email): string {
  const body =
    mail.html === undefined ? `<pre>${escapeHtml(mail.text ?? '')}</pre>` : withInlineImages(mail.html, mail);
  // The first <base> wins, so links leave the frame whatever the mail says.
  return `<!doctype html><meta charset="utf-8"><base target="_blank"><style>${STYLE}</style>${body}`;
}

export function contentOf(attachment: Attachment): Buffer {
  const { content } = attachment;
  if (typeof content === 'string') return Buffer.from(content);
  return content instanceof Uint8Array ? Buffer.from(content) : Buffer.from(new Uint8Array(content));
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

export function persons(addresses: readonly Address[] | undefined): ReadPerson[] {
  return (addresses ?? [])
    .flatMap((address) => address.group ?? [address])
    .map(({ name, address }) => ({ ...(name && { name }), email: address }));
}

const STYLE =
  'body{font:15px/1.55 system-ui,sans-serif;color:#1d2433;background:#fff;margin:20px;overflow-wrap:anywhere}pre{font:inherit;white-space:pre-wrap;margin:0}img{max-width:100%}';

function withInlineImages(html: string, mail: Email): string {
  const images = new Map(
    mail.attachments
      .filter(({ contentId, mimeType }) => contentId !== undefined && /^image\/[\w.+-]+$/.test(mimeType))
      .map((image) => [(image.contentId ?? '').replace(/^<|>$/g, ''), image]),
  );
  if (images.size === 0) return html;
  return html.replace(/\bcid:([^"'\s)>]{1,250})/gi, (written, id: string) => {
    const image = images.get(id) ?? images.get(decoded(id));
    return image ? `data:${image.mimeType};base64,${contentOf(image).toString('base64')}` : written;
  });
}

function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}
