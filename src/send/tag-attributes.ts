import {
  DOUBLE_QUOTE,
  EQUALS,
  endsName,
  GREATER_THAN,
  isSpace,
  matchesName,
  SINGLE_QUOTE,
  SLASH,
} from './characters.ts';

export interface TagTail {
  /** Range of the wanted attribute's value without its quotes; -1 when absent, empty when it has no value. */
  valueStart: number;
  valueEnd: number;
  selfClosing: boolean;
}

export function newTagTail(): TagTail {
  return { valueStart: -1, valueEnd: -1, selfClosing: false };
}

/**
 * Reads a tag from the end of its name and fills `tail` with the first attribute called `wanted` (lower-case letters).
 * Returns the index after the closing `>`, or -1 when the input ends inside the tag: such a tag does not exist.
 */
export function readTagTail(html: string, nameEnd: number, wanted: string, tail: TagTail): number {
  let searching = wanted !== '';
  tail.valueStart = -1;
  tail.valueEnd = -1;
  tail.selfClosing = false;
  let i = nameEnd;
  while (i < html.length) {
    const code = html.charCodeAt(i);
    if (code === GREATER_THAN) return i + 1;
    if (isSpace(code) || code === SLASH) {
      i++;
      tail.selfClosing = code === SLASH && html.charCodeAt(i) === GREATER_THAN;
      continue;
    }
    const nameStart = i;
    i = attributeNameEnd(html, nameStart);
    const isWanted = searching && i - nameStart === wanted.length && matchesName(html, nameStart, wanted);
    if (isWanted) {
      searching = false;
      tail.valueStart = i;
      tail.valueEnd = i;
    }
    if (html.charCodeAt(i) !== EQUALS) {
      i = skipSpace(html, i);
      if (html.charCodeAt(i) !== EQUALS) continue;
    }
    const start = skipSpace(html, i + 1);
    const quote = html.charCodeAt(start);
    const isQuoted = quote === DOUBLE_QUOTE || quote === SINGLE_QUOTE;
    const end = isQuoted ? html.indexOf(quote === DOUBLE_QUOTE ? '"' : "'", start + 1) : unquotedEnd(html, start);
    if (end === -1) return -1;
    if (isWanted) {
      tail.valueStart = isQuoted ? start + 1 : start;
      tail.valueEnd = end;
    }
    i = isQuoted ? end + 1 : end;
  }
  return -1;
}

function skipSpace(html: string, from: number): number {
  let i = from;
  while (isSpace(html.charCodeAt(i))) i++;
  return i;
}

/** A leading `=` belongs to the name. */
function attributeNameEnd(html: string, from: number): number {
  for (let i = from + 1; i < html.length; i++) {
    const code = html.charCodeAt(i);
    if (code <= GREATER_THAN && (code === EQUALS || endsName(code))) return i;
  }
  return html.length;
}

/** A `/` belongs to the value. */
function unquotedEnd(html: string, from: number): number {
  for (let i = from; i < html.length; i++) {
    const code = html.charCodeAt(i);
    if (code === GREATER_THAN || isSpace(code)) return i;
  }
  return html.length;
}
