import { randomFillSync } from 'node:crypto';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** A message's own id in its database form: UUIDv7 text, time-ordered. */
export type MessageId = Branded<'message'>;
export type GrantId = Branded<'grant'>;
export type ApplicationId = Branded<'application'>;
export type DestinationId = Branded<'destination'>;
export type NotificationId = Branded<'notification'>;

/** The application's number: leads every key and travels in tokens. */
export type AppSerial = number & { readonly [brand]: 'app' };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'; // Crockford's base32 in lower case
const VALUES = new Map([...ALPHABET].map((letter, value) => [letter, value]));

const random = Buffer.alloc(4096);
let used = random.length;

/** UUIDv7 text (RFC 9562 section 5.7) for the millisecond `ms`; ids of one process rise within a millisecond only by chance. */
export function uuidv7(ms: number = Date.now()): string {
  if (used + 10 > random.length) {
    randomFillSync(random);
    used = 0;
  }
  const bytes = Buffer.allocUnsafe(16);
  bytes.writeUIntBE(ms, 0, 6);
  random.copy(bytes, 6, used, used + 10);
  used += 10;
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return uuidText(bytes);
}

const COUNTER_MOST = 0xfff;
const COUNTER_START = 0x7ff; // leaves at least 2,048 numbers of a millisecond
// A clock that was set back by more than this was wrong before, and is believed now.
const SET_BACK_MS = 10_000;

/**
 * Makes UUIDv7s each greater than the one before (RFC 9562 section 6.2, method 1): the 12 bits of rand_a count, from a
 * random start in every millisecond. Runs ahead of a clock that stands still, goes back a little or is asked too often.
 */
export function risingIds(): (ms?: number) => string {
  let last = 0;
  let counter = 0;
  return (ms = Date.now()) => {
    const isLater = ms > last || last - ms > SET_BACK_MS;
    const isFull = counter === COUNTER_MOST;
    if (isLater) last = ms;
    else if (isFull) last++;
    const id = uuidv7(last);
    counter = isLater || isFull ? Number.parseInt(id.slice(15, 18), 16) & COUNTER_START : counter + 1;
    return `${id.slice(0, 15)}${counter.toString(16).padStart(3, '0')}${id.slice(18)}`;
  };
}

/** The lower-case text of 16 bytes. */
export function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** Unix milliseconds inside a UUIDv7. */
export function uuidTime(uuid: string): number {
  return Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);
}

export type WirePrefix = 'msg' | 'dft' | 'ntf' | 'thr' | 'att' | 'wh' | 'ch' | 'prm';

/** URL-safe wire form of a UUID: prefix, underscore, 26 letters and digits without look-alikes. */
export function wireId(prefix: WirePrefix, uuid: string): string {
  const bytes = uuidBytes(uuid);
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(value >> bits) & 31];
      value &= (1 << bits) - 1;
    }
  }
  return `${prefix}_${text}${ALPHABET[(value << (5 - bits)) & 31]}`;
}

/** The UUID behind a wire id, or null where the text is none of this prefix (the canonical form only). */
export function fromWireId(prefix: WirePrefix, text: string): string | null {
  if (text.length !== prefix.length + 27 || !text.startsWith(`${prefix}_`)) return null;
  const bytes = Buffer.alloc(16);
  let at = 0;
  let bits = 0;
  let value = 0;
  for (const letter of text.slice(prefix.length + 1)) {
    const five = VALUES.get(letter);
    if (five === undefined) return null;
    value = (value << 5) | five;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = value >> bits;
      value &= (1 << bits) - 1;
    }
  }
  return value === 0 ? uuidText(bytes) : null;
}
