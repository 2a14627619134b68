import { inCharset, inNoCharset } from '../charset.ts';
import type { MimePart } from './mime-parts.ts';

/** What the part says, decoded: its beginning, at most `most` characters. Well-formed and without NUL. */
export function partText(part: Pick<MimePart, 'body' | 'encoding' | 'type'>, most: number): string {
  // Four bytes for a character, three characters for a byte.
  const bytes = decoded(part.body.subarray(0, most * 12), part.encoding).subarray(0, most * 4);
  const charset = part.type.parameters.get('charset') ?? '';
  const text = /^(?:us-ascii|)$/i.test(charset) ? inNoCharset(bytes) : inCharset(bytes, charset);
  return text.slice(0, most).replaceAll('\0', '').toWellFormed();
}

/** Of the part as it is encoded, so many bytes are looked at. */
export function partBytes({ body, encoding }: Pick<MimePart, 'body' | 'encoding'>, most: number): Buffer {
  return decoded(body.subarray(0, most), encoding);
}

/** Bytes of the part, decoded, without decoding it. */
export function partSize({ body, encoding }: Pick<MimePart, 'body' | 'encoding'>): number {
  if (encoding === 'base64') return Math.floor((countWhere(body, isBase64) * 3) / 4);
  return encoding === 'quoted-printable' ? quotedPrintable(body, null) : body.length;
}

function decoded(body: Buffer, encoding: string): Buffer {
  if (encoding === 'base64') return Buffer.from(body.toString('latin1'), 'base64');
  if (encoding !== 'quoted-printable') return body;
  const into = Buffer.allocUnsafe(body.length);
  return into.subarray(0, quotedPrintable(body, into));
}

const EQUALS = 0x3d;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;

/** RFC 2045 section 6.7; what is no escape stands for itself. Returns the length. */
function quotedPrintable(body: Buffer, into: Buffer | null): number {
  let length = 0;
  for (let at = 0; at < body.length; at += 1) {
    let byte = body[at] ?? 0;
    if (byte === EQUALS) {
      const end = softBreak(body, at + 1);
      if (end >= 0) {
        at = end;
        continue;
      }
      const [high, low] = [nibble(body[at + 1]), nibble(body[at + 2])];
      if (high >= 0 && low >= 0) {
        byte = high * 16 + low;
        at += 2;
      }
    }
    if (into !== null) into[length] = byte;
    length += 1;
  }
  return length;
}

/** Where the line ends whose end does not count; blanks before it were added on the way. -1: there is none. */
function softBreak(body: Buffer, from: number): number {
  let at = from;
  while (body[at] === SPACE || body[at] === TAB) at += 1;
  if (body[at] === CR) at += 1;
  return body[at] === LF ? at : -1;
}

function nibble(byte = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function isBase64(byte: number): boolean {
  const letter = byte | 0x20;
  return (letter >= 0x61 && letter <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2b || byte === 0x2f;
}

function countWhere(bytes: Buffer, is: (byte: number) => boolean): number {
  let count = 0;
  for (const byte of bytes) if (is(byte)) count += 1;
  return count;
}
