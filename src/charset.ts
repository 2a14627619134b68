// Text in the character sets that mail is written in.
import { isUtf8 } from 'node:buffer';
import { TextDecoder } from 'node:util';

/** What Windows-1252 has at 0x80 to 0x9f, where Latin-1 has controls. */
const QUOTES_AND_EURO = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';
const utf8 = new TextDecoder();
const decoders = new Map<string, TextDecoder | null>();
const LONGEST_LABEL = 40;
/** Labels are known by the hundred; strangers think up any number. */
const MOST_KEPT = 300;

/**
 * Never fails: what is written in a character set that nobody knows is taken for UTF-8, as is '' for none.
 *
 * Windows-1252, which the Encoding Standard also means by `iso-8859-1` and `us-ascii`, is read here: the decoder of
 * Node 20.20 takes it for Latin-1, and makes a control of every curly quote.
 */
export function inCharset(bytes: Uint8Array, charset: string): string {
  const decoder = decoderFor(charset) ?? utf8;
  return decoder.encoding === 'windows-1252' ? inWindows1252(bytes) : decoder.decode(bytes);
}

/** Text of which nobody says what it is written in: UTF-8, or else Windows-1252. It may be cut within a character. */
export function inNoCharset(bytes: Uint8Array): string {
  const text = utf8.decode(bytes);
  return isUtf8(bytes) || text.indexOf('\ufffd') === text.length - 1 ? text : inWindows1252(bytes);
}

/** Takes any byte: what mail of before MIME is most often written in. */
export function inWindows1252(bytes: Uint8Array): string {
  const latin1 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  return latin1.replace(/[\x80-\x9f]/g, (control) => QUOTES_AND_EURO.charAt(control.charCodeAt(0) - 0x80));
}

/** Whether a character set is Windows-1252, by any of its names. */
export function isWindows1252(charset: string): boolean {
  return decoderFor(charset)?.encoding === 'windows-1252';
}

function decoderFor(charset: string): TextDecoder | null {
  const label = charset.trim().toLowerCase();
  if (label === '' || label.length > LONGEST_LABEL) return null;
  const known = decoders.get(label);
  if (known !== undefined) return known;
  let decoder: TextDecoder | null = null;
  try {
    decoder = new TextDecoder(label);
  } catch {
    // nobody knows such a character set
  }
  if (decoders.size < MOST_KEPT) decoders.set(label, decoder);
  return decoder;
}
