// The part of a delivery report that programs read: RFC 3464, for any language RFC 6533.
import { headFields } from '../providers/head-fields.ts';
import { messageIds } from '../providers/mail-head.ts';

export interface DeliveryStatus {
  /** 100 at most. */
  readonly recipients: readonly RecipientStatus[];
  /** With angle brackets; some servers name it there. */
  readonly originalMessageId: string | null;
}

export interface RecipientStatus {
  /** As its sender wrote it, where the report tells; null for none that is an address. */
  readonly address: string | null;
  /** The word in lower case, '' where it is missing. */
  readonly action: string;
  /** RFC 3463, such as `5.1.1`; '' where it is missing. */
  readonly status: string;
  /** What the refusing server said, without its type. */
  readonly diagnostic: string;
}

const MOST_RECIPIENTS = 100;
const MOST_FIELDS = 2000;
const LONGEST_DIAGNOSTIC = 4000;
const ADDRESS_FIELDS = ['original-recipient', 'final-recipient'];
const RECIPIENT_FIELDS = new Set([...ADDRESS_FIELDS, 'action', 'status', 'diagnostic-code']);

/** Takes the decoded part. Linear, never throws; a part that was cut gives what is there. */
export function readDeliveryStatus(part: Buffer): DeliveryStatus {
  const groups: Map<string, string>[] = [];
  let current = new Map<string, string>();
  let originalMessageId: string | null = null;
  for (const [name, value] of allFields(part)) {
    if (name === 'original-message-id' || name === 'x-original-message-id') {
      originalMessageId ??= messageIds(value)[0] ?? null;
    }
    if (name !== '' && !RECIPIENT_FIELDS.has(name)) continue;
    // Some put an empty line within a group, some none between two.
    const isNext = name === '' ? isWhole(current) : current.has(name) && isRepeated(current, name);
    if (isNext) {
      groups.push(current);
      current = new Map();
      if (groups.length >= MOST_RECIPIENTS) break;
    }
    if (name !== '' && !current.has(name)) current.set(name, value);
  }
  if (groups.length < MOST_RECIPIENTS && hasWord(current)) groups.push(current);
  return { recipients: groups.filter(hasWord).map(recipientOf), originalMessageId };
}

/** The one address in a text such as `rfc822; <kim@client.test> (Kim)`; null where there is none. */
export function addressIn(text: string): string | null {
  const bare = text.slice(0, 1000).replace(/^[^<]*<([^<>]*)>.*$/s, '$1');
  const [word = ''] = bare.trim().split(/[\s()]/, 1);
  const address = word.replace(/^(?:mailto:|["'[])+|["'\].,:;]+$/g, '');
  const at = address.lastIndexOf('@');
  const isAddress = at > 0 && at < address.length - 1 && address.length <= 320 && !/[\p{Cc}<>,;]/u.test(address);
  return isAddress ? address.toWellFormed() : null;
}

/** An empty name stands for the empty line between two groups. */
function* allFields(part: Buffer): Generator<readonly [string, string]> {
  let fields = 0;
  for (const block of part.toString('latin1').split(/\n[ \t]*\r?\n/)) {
    for (const field of headFields(Buffer.from(block.replace(/^\s+/, ''), 'latin1'))) {
      if (fields++ > MOST_FIELDS) return;
      yield field;
    }
    yield ['', ''];
  }
}

function hasAddress(group: ReadonlyMap<string, string>): boolean {
  return ADDRESS_FIELDS.some((name) => group.has(name));
}

function hasWord(group: ReadonlyMap<string, string>): boolean {
  return hasAddress(group) && (group.has('action') || group.has('status') || group.has('diagnostic-code'));
}

function isWhole(group: ReadonlyMap<string, string>): boolean {
  return hasAddress(group) && group.has('action') && group.has('status');
}

function isRepeated(group: ReadonlyMap<string, string>, name: string): boolean {
  return hasAddress(group) && (ADDRESS_FIELDS.includes(name) || name === 'action');
}

function recipientOf(group: ReadonlyMap<string, string>): RecipientStatus {
  const original = typed(group.get('original-recipient') ?? '');
  const final = typed(group.get('final-recipient') ?? '');
  return {
    address: writtenAddress(original, final),
    action: /[a-z]+/.exec((group.get('action') ?? '').toLowerCase())?.[0] ?? '',
    status: /(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])/.exec(group.get('status') ?? '')?.[0] ?? '',
    diagnostic: typed((group.get('diagnostic-code') ?? '').slice(0, LONGEST_DIAGNOSTIC)).text,
  };
}

interface Typed {
  readonly type: string;
  readonly text: string;
}

function typed(value: string): Typed {
  const [, type = '', text = ''] = /^\s*([\w-]{1,40})(?:\s*\([^()]*\))?\s*;(.*)$/s.exec(value) ?? [];
  return type === '' ? { type: '', text: value.trim() } : { type: type.toLowerCase(), text: text.trim() };
}

/** What the sender wrote is the original one, the final one is where that was forwarded to. */
function writtenAddress(original: Typed, final: Typed): string | null {
  const [first, last] = [original, final].map(({ type, text }) =>
    type === 'utf-8' ? addressIn(unescaped(text)) : addressIn(text),
  );
  // Some do not undo the encoding in which it travelled, RFC 3461 section 4.
  const isEncoded = first && last && first !== last && unhexed(first).toLowerCase() === last.toLowerCase();
  return (isEncoded ? last : (first ?? last)) ?? null;
}

function unhexed(text: string): string {
  return text.replace(/\+([0-9A-F]{2})/g, (_: string, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** RFC 6533 section 3. */
function unescaped(text: string): string {
  return text.replace(/\\x\{([0-9A-Fa-f]{1,6})\}/g, (whole, hex: string) => {
    const code = Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
