import { inCharset } from '../charset.ts';
import { decodeWords } from '../encoded-words.ts';

/** A field such as Content-Type: its word in lower case, its parameters by their names in lower case, decoded. */
export interface MimeField {
  readonly value: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const LONGEST_FIELD = 8000;
const MOST_PARAMETERS = 100;
const PARAMETER = /;\s{0,99}([^\s=;"()]{1,100})\s{0,99}=\s{0,99}(?:"((?:[^"\\]|\\.)*)"?|([^;]*))/gsu;
/** RFC 2231 section 3: which piece of a value, and whether it is percent-encoded. */
const PIECE = /^([^*]+)\*(\d{1,3})?(\*)?$/;

/** Reads what RFC 2045 section 5.1 and RFC 2231 describe, bounded; of a parameter that comes twice the first counts. */
export function mimeField(written: string): MimeField {
  const field = withoutComments(written.slice(0, LONGEST_FIELD));
  const end = field.indexOf(';');
  const parameters = new Map<string, string>();
  const pieces = new Map<string, Piece[]>();
  let count = 0;
  for (const [, name = '', quoted, token = ''] of field.matchAll(PARAMETER)) {
    count += 1;
    if (count > MOST_PARAMETERS) break;
    const text = quoted === undefined ? token.trim() : quoted.replace(/\\(.)/gsu, '$1');
    const [, of, at, encoded] = PIECE.exec(name.toLowerCase()) ?? [];
    if (of === undefined) {
      if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), decodeWords(text));
    } else {
      const known = pieces.get(of) ?? [];
      pieces.set(of, [...known, { at: Number(at ?? 0), text, isEncoded: encoded !== undefined || at === undefined }]);
    }
  }
  for (const [name, found] of pieces) parameters.set(name, joined(found)); // they say more than the plain one beside them
  return {
    value: field
      .slice(0, end < 0 ? field.length : end)
      .trim()
      .toLowerCase(),
    parameters,
  };
}

interface Piece {
  readonly at: number;
  readonly text: string;
  readonly isEncoded: boolean;
}

function joined(pieces: readonly Piece[]): string {
  const ordered = [...pieces].sort((a, b) => a.at - b.at);
  const [, charset = '', start = ''] = /^([^']*)'[^']*'(.*)$/s.exec(ordered[0]?.text ?? '') ?? [];
  const bytes = ordered.map(({ text, isEncoded }, at) => {
    if (!isEncoded) return Buffer.from(text);
    const written = at === 0 && charset !== '' ? start : text;
    return Buffer.from(
      written.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
      'latin1',
    );
  });
  return inCharset(Buffer.concat(bytes), charset);
}

function withoutComments(field: string): string {
  if (!field.includes('(')) return field;
  let kept = '';
  let depth = 0;
  let isQuoted = false;
  for (const character of field) {
    if (character === '"' && depth === 0) isQuoted = !isQuoted;
    if (!isQuoted && character === '(' && /(^|[\s;])$/.test(kept.slice(-1))) depth += 1;
    if (depth === 0) kept += character;
    if (!isQuoted && character === ')') depth = Math.max(0, depth - 1);
  }
  return depth === 0 ? kept : field; // one that does not end is none
}
