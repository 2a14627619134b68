// The parts of a mail of which only the beginning may be there. One look at each line; what is attached stays whole.
import { decodeHTML } from 'entities';
import { inCharset, inWindows1252 } from '../charset.ts';
import { headFields } from '../providers/head-fields.ts';

export interface MimePart {
  /** In lower case; `text/plain` where none is given. */
  readonly type: string;
  readonly charset: string;
  /** As Content-Transfer-Encoding names it, in lower case. */
  readonly encoding: string;
  /** Still encoded. */
  readonly body: Buffer;
}

const DEEPEST = 8;
const MOST_PARTS = 40;
const LONGEST_HEAD = 64 * 1024;
const LONGEST_TYPE = 2000;
const LONGEST_BOUNDARY = 200; // RFC 2046 allows 70
const [LF, CR, DASH] = [0x0a, 0x0d, 0x2d];

/**
 * Its leaves in their order, 40 at most; multiparts that lie deeper than 8 and attached mails count as leaves. Where the
 * boundary that was named is nowhere, the first line that looks like one is taken, or else all for text.
 */
export function mimeParts(mail: Buffer): MimePart[] {
  const parts = leaves(mail, []);
  if (parts.length > 0) return parts;
  const start = bodyStart(mail);
  const guessed = /^--(\S[^\r\n]{0,198})\r?\ncontent-/im.exec(
    mail.toString('latin1', start, start + LONGEST_HEAD),
  )?.[1];
  const found = guessed === undefined ? [] : leaves(mail, [guessed.trimEnd()]);
  return found.length > 0 ? found : [{ ...PLAIN, body: mail.subarray(start) }];
}

function leaves(mail: Buffer, known: readonly string[]): MimePart[] {
  const parts: MimePart[] = [];
  const boundaries = [...known];
  let state: 'head' | 'body' | 'between' = 'head';
  let head = 0;
  let open: Omit<MimePart, 'body'> = PLAIN;
  let body = 0;
  const close = (end: number): void => {
    if (state === 'body') parts.push({ ...open, body: mail.subarray(body, end) });
  };
  for (let at = 0; at < mail.length && parts.length < MOST_PARTS; ) {
    const found = mail.indexOf(LF, at);
    const next = found < 0 ? mail.length : found + 1;
    const isDashed = mail[at] === DASH && mail[at + 1] === DASH && next - at < LONGEST_BOUNDARY + 6;
    const line = isDashed ? mail.toString('latin1', at + 2, next).trimEnd() : '';
    const level = isDashed ? boundaries.findLastIndex((one) => line === one || line === `${one}--`) : -1;
    if (level >= 0) {
      close(at);
      const isLast = line !== boundaries[level];
      boundaries.length = isLast ? level : level + 1;
      state = isLast ? 'between' : 'head';
      head = next;
    } else if (state === 'head' && isEmpty(mail, at, next)) {
      const { boundary, ...part } = describe(mail.subarray(head, Math.min(at, head + LONGEST_HEAD)));
      const isOpened = part.type.startsWith('multipart/') && boundary !== '' && boundaries.length < DEEPEST;
      if (isOpened) boundaries.push(boundary);
      open = part;
      body = next;
      state = isOpened ? 'between' : 'body';
    }
    at = next;
  }
  close(mail.length);
  return parts;
}

function bodyStart(mail: Buffer): number {
  const ends = [mail.indexOf('\n\n') + 2, mail.indexOf('\n\r\n') + 3].filter((end) => end > 2 && end < mail.length);
  return Math.min(...ends, mail.length);
}

/** Decoded, without what encloses or hides text in HTML. Never throws: broken encodings give broken text. */
export function partText(part: MimePart, mostBytes: number): string {
  const text = textOf(partBytes(part, mostBytes), part.charset);
  return part.type === 'text/html' ? withoutMarkup(text) : text.replaceAll('\0', ' ');
}

/** Of the part as it was encoded, so many bytes are looked at. */
export function partBytes({ encoding, body }: MimePart, most: number): Buffer {
  const encoded = body.subarray(0, most);
  if (encoding === 'base64') return Buffer.from(encoded.toString('latin1'), 'base64');
  if (encoding !== 'quoted-printable') return encoded;
  const decoded = encoded
    .toString('latin1')
    .replace(/=[ \t]*\r?\n/g, '')
    .replace(/=([0-9a-f]{2})/gi, (_: string, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(decoded, 'latin1');
}

const PLAIN = { type: 'text/plain', charset: '', encoding: '' };

function describe(head: Buffer): Omit<MimePart, 'body'> & { readonly boundary: string } {
  const fields = new Map<string, string>();
  for (const [name, value] of headFields(head)) {
    if (!fields.has(name) && name.startsWith('content-')) fields.set(name, value.slice(0, LONGEST_TYPE));
  }
  const written = fields.get('content-type') ?? '';
  return {
    type: /^\s*([\w.+-]+\/[\w.+-]+)/.exec(written)?.[1]?.toLowerCase() ?? PLAIN.type,
    charset: parameter(written, CHARSET),
    encoding: /^[\w-]*/.exec(fields.get('content-transfer-encoding') ?? '')?.[0].toLowerCase() ?? '',
    boundary: parameter(written, BOUNDARY).slice(0, LONGEST_BOUNDARY).trimEnd(),
  };
}

const CHARSET = /;\s*charset\s*=\s*(?:"([^"]*)"|([^\s;]+))/i;
const BOUNDARY = /;\s*boundary\s*=\s*(?:"([^"]*)"|([^\s;]+))/i;

function parameter(written: string, pattern: RegExp): string {
  const [, quoted, bare] = pattern.exec(written) ?? [];
  return quoted ?? bare ?? '';
}

function isEmpty(mail: Buffer, at: number, next: number): boolean {
  return mail[at] === LF || (mail[at] === CR && next - at === 2);
}

function textOf(bytes: Buffer, charset: string): string {
  if (!/^(?:utf-?8|us-ascii|)$/i.test(charset)) return inCharset(bytes, charset);
  const utf8 = bytes.toString('utf8');
  // What is cut may end within a character.
  return utf8.slice(0, -1).includes('\ufffd') ? inWindows1252(bytes) : utf8;
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
