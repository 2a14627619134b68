// The parts of a report of which only the beginning may be there, and whose makers did not always know MIME.
import { decodeHTML } from 'entities';
import { inCharset, inNoCharset } from '../charset.ts';
import { partBytes } from '../providers/mime-body.ts';
import { type MimePart, mimeParts } from '../providers/mime-parts.ts';

const MOST_PARTS = 40;
/** In which a boundary is guessed. */
const LONGEST_START = 64 * 1024;

/**
 * Its leaves in their order, 40 at most. Where the boundary that was named is nowhere, the first line that looks like
 * one is taken, or else all for text.
 */
export function reportParts(mail: Buffer): readonly MimePart[] {
  const parts = mimeParts(mail);
  if (parts.length > 0) return parts.slice(0, MOST_PARTS);
  const body = mail.subarray(bodyStart(mail));
  const guessed = /^--(\S[^\r\n]{0,198})\r?\ncontent-/im.exec(body.toString('latin1', 0, LONGEST_START))?.[1] ?? '';
  const boundary = guessed.trimEnd().replace(/["\\]/g, '\\$&');
  const found = boundary === '' ? [] : under(`Content-Type: multipart/mixed; boundary="${boundary}"`, body);
  return found.length > 0 ? found.slice(0, MOST_PARTS) : under('Content-Type: text/plain', body);
}

function under(head: string, body: Buffer): MimePart[] {
  return mimeParts(Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), body]));
}

function bodyStart(mail: Buffer): number {
  const ends = [mail.indexOf('\n\n') + 2, mail.indexOf('\n\r\n') + 3].filter((end) => end > 2 && end < mail.length);
  return Math.min(...ends, mail.length);
}

/** Decoded, without what encloses or hides text in HTML. Never throws: broken encodings give broken text. */
export function shownText(part: MimePart, mostBytes: number): string {
  const bytes = partBytes(part, mostBytes);
  const charset = part.type.parameters.get('charset') ?? '';
  const text = /^(?:utf-?8|us-ascii|)$/i.test(charset) ? inNoCharset(bytes) : inCharset(bytes, charset);
  return part.type.value === 'text/html' ? withoutMarkup(text) : text.replaceAll('\0', ' ');
}

const LINE_TAG = /^\/?(?:br|p|div|tr|li|table|h[1-6]|pre|ul|ol|blockquote)\b/i;
const HIDDEN_TAG = /^(?:style|script|head|title)\b/i;

function withoutMarkup(html: string): string {
  let hidden = '';
  const texts = html.split('<').map((piece, at) => {
    if (at === 0) return piece;
    const end = piece.indexOf('>');
    const tag = piece.slice(0, end < 0 ? undefined : end);
    if (hidden !== '') {
      if (tag.toLowerCase().startsWith(`/${hidden}`)) hidden = '';
      else return '';
    } else if (HIDDEN_TAG.test(tag)) {
      hidden = HIDDEN_TAG.exec(tag)?.[0].toLowerCase() ?? '';
      return '';
    }
    const inside = end < 0 ? '' : piece.slice(end + 1).replace(/\s+/g, ' ');
    return LINE_TAG.test(tag) ? `\n${inside}` : inside;
  });
  return decodeHTML(texts.join('')).replaceAll('\0', ' ');
}
