// Words of a header field in other character sets (RFC 2047), which postal-mime reads.
import { decodeWords as decode } from 'postal-mime';
import { inWindows1252, isWindows1252 } from './charset.ts';

/** What a field says, its encoded words decoded. */
export function decodeWords(text: string): string {
  return decode(inUtf8Words(text));
}

/** The same text with those of its encoded words that a decoder of Node misreads in UTF-8: {@link inWindows1252}. */
export function inUtf8Words(text: string): string {
  if (!text.includes('=?')) return text;
  return text.replace(WORD, (word, charset: string, language: string, encoding: string, written: string) => {
    if (!isWindows1252(charset)) return word;
    const bytes = /b/i.test(encoding) ? Buffer.from(written, 'base64') : bytesOfQ(written);
    return `=?utf-8${language}?B?${Buffer.from(inWindows1252(bytes)).toString('base64')}?=`;
  });
}

const WORD = /=\?([\w:.-]{1,40})((?:\*[\w-]{1,40})?)\?([bq])\?([^?\s]{0,998})\?=/gi;

/** RFC 2047 section 4.2. What is no escape stands for itself. */
function bytesOfQ(written: string): Buffer {
  const latin1 = written
    .replaceAll('_', ' ')
    .replace(/=([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(latin1, 'latin1');
}
