import { headFields } from './head-fields.ts';
import { type MimeField, mimeField } from './mime-parameters.ts';

/** A part that holds no further ones. */
export interface MimePart {
  /** As IMAP numbers it: `1`, `2.1`, … (RFC 9051 section 6.4.5.1). */
  readonly path: string;
  readonly type: MimeField;
  readonly disposition: MimeField;
  /** In lower case, '' for none. */
  readonly encoding: string;
  /** As it stands, '' for none. */
  readonly contentId: string;
  /** Belongs to the other parts of a multipart/related. */
  readonly isRelated: boolean;
  /** Not decoded. */
  readonly body: Buffer;
}

const LONGEST_HEAD = 128 * 1024;
/** Levels of multiparts; deeper ones are not looked into. */
const DEEPEST = 30;
const MOST_PARTS = 1000;
const LONGEST_BOUNDARY = 200; // RFC 2046 allows 70
const LONGEST_LINE = LONGEST_BOUNDARY + 100; // of a delimiter, with blanks

interface Level {
  /** Its bytes as latin1. */
  readonly delimiter: string;
  /** Of its parts. */
  readonly prefix: string;
  readonly isRelated: boolean;
  readonly plainType: string;
  count: number;
}

interface Delimiter {
  /** Where its line begins and where the next one does. */
  readonly start: number;
  readonly next: number;
  readonly level: number;
  readonly isLast: boolean;
}

/**
 * The parts of a mail in their order, at most 1000. Mails within the mail are not taken apart. Each line is compared
 * with the delimiters of the levels that are open, so the time is linear.
 */
export function mimeParts(raw: Buffer): MimePart[] {
  const found: MimePart[] = [];
  const levels: Level[] = [];
  let opened = 0;

  /** Reads the head at `start`; what begins there reaches to the next delimiter, which is returned. */
  function open(start: number, path: string, within: Level | null): Delimiter | null {
    opened += 1;
    const head = headEnd(raw, start, levels);
    const fields = new Map<string, string>();
    for (const [name, value] of headFields(raw.subarray(start, Math.min(head.end, start + LONGEST_HEAD)))) {
      if (!fields.has(name)) fields.set(name, value);
    }
    const type = mimeField(fields.get('content-type') ?? within?.plainType ?? 'text/plain');
    const boundary = Buffer.from(type.parameters.get('boundary') ?? '');
    const isMultipart =
      type.value.startsWith('multipart/') && boundary.length > 0 && boundary.length <= LONGEST_BOUNDARY;
    if (isMultipart && levels.length < DEEPEST) {
      levels.push({
        delimiter: `--${boundary.toString('latin1').trimEnd()}`,
        prefix: path === '' ? '' : `${path}.`,
        isRelated: type.value === 'multipart/related',
        plainType: type.value === 'multipart/digest' ? 'message/rfc822' : 'text/plain',
        count: 0,
      });
      return nextDelimiter(raw, head.next, levels);
    }
    const next = nextDelimiter(raw, head.next, levels);
    found.push({
      path: path === '' ? '1' : path,
      type: { ...type, value: type.value || 'text/plain' },
      disposition: mimeField(fields.get('content-disposition') ?? ''),
      encoding: /^[\w-]*/.exec(fields.get('content-transfer-encoding') ?? '')?.[0].toLowerCase() ?? '',
      contentId: fields.get('content-id') ?? '',
      isRelated: within?.isRelated ?? false,
      body: raw.subarray(head.next, next === null ? raw.length : Math.max(head.next, beforeLineEnd(raw, next.start))),
    });
    return next;
  }

  let next = open(0, '', null);
  while (next !== null && opened < MOST_PARTS) {
    levels.length = next.level + 1;
    const level = levels[next.level];
    if (level === undefined || next.isLast) {
      levels.length = next.level;
      next = nextDelimiter(raw, next.next, levels);
    } else {
      level.count += 1;
      next = open(next.next, `${level.prefix}${level.count}`, level);
    }
  }
  return found;
}

const LF = 0x0a;
const CR = 0x0d;
const DASH = 0x2d;

/** Of the head that begins at `start`: it ends at an empty line, or where a delimiter cuts it. */
function headEnd(
  raw: Buffer,
  start: number,
  levels: readonly Level[],
): { readonly end: number; readonly next: number } {
  for (let at = start; at < raw.length; ) {
    const { end, next } = lineAt(raw, at);
    if (end === at) return { end: at, next };
    if (delimiterAt(raw, at, levels) !== null) return { end: at, next: at };
    at = next;
  }
  return { end: raw.length, next: raw.length };
}

/** The first one in a line that begins at `from` or later. */
function nextDelimiter(raw: Buffer, from: number, levels: readonly Level[]): Delimiter | null {
  if (levels.length === 0) return null;
  for (let at = from; at < raw.length; ) {
    const found = delimiterAt(raw, at, levels);
    if (found !== null) return found;
    const before = raw.indexOf('\n--', at);
    if (before < 0) return null;
    at = before + 1;
  }
  return null;
}

/** The innermost level's, where several fit: RFC 2046 section 5.1.2. */
function delimiterAt(raw: Buffer, start: number, levels: readonly Level[]): Delimiter | null {
  if (raw[start] !== DASH || raw[start + 1] !== DASH) return null;
  const { end, next } = lineAt(raw, start);
  if (end - start > LONGEST_LINE) return null;
  const line = raw.toString('latin1', start, end).replace(/[ \t]+$/, '');
  let level = levels.findLastIndex(({ delimiter }) => line === delimiter);
  if (level >= 0) return { start, next, level, isLast: false };
  if (!line.endsWith('--')) return null;
  const ended = line.slice(0, -2);
  level = levels.findLastIndex(({ delimiter }) => ended === delimiter);
  return level < 0 ? null : { start, next, level, isLast: true };
}

function lineAt(raw: Buffer, start: number): { readonly end: number; readonly next: number } {
  const found = raw.indexOf(LF, start);
  if (found < 0) return { end: raw.length, next: raw.length };
  return { end: beforeLineEnd(raw, found + 1), next: found + 1 };
}

/** Where the line before `start` ends. */
function beforeLineEnd(raw: Buffer, start: number): number {
  if (raw[start - 1] !== LF) return start;
  return raw[start - 2] === CR ? start - 2 : start - 1;
}
