import { randomFillSync } from 'node:crypto';
import { uuidText } from '../ids.ts';
import { IDENTITY_BYTES, identityOf, type TokenKind } from './token.ts';

// A hit as it lies in the spool, little-endian:
//   u16 length of what follows, hit id (UUIDv7, 16), flags u8, identity (28), u8 length + address, u16 length + user agent

/** What the edge knows of a hit. `identity` is the 28 proven bytes of its token, `ip` a normal address or ''. */
export interface NewHit {
  readonly identity: Buffer;
  readonly method: string;
  readonly prefetch: boolean;
  readonly acceptLanguage: boolean;
  readonly secFetchMode: boolean;
  readonly ip: string;
  /** As Node gives header values: one character per byte. */
  readonly userAgent: string;
}

export interface Hit {
  /** UUIDv7 text; its milliseconds are `at`. */
  id: string;
  kind: TokenKind;
  at: Date;
  app: number;
  grant: number;
  /** UUID text. */
  message: string;
  link: number;
  method: 'GET' | 'HEAD' | 'OPTIONS' | 'other';
  prefetch: boolean;
  acceptLanguage: boolean;
  secFetchMode: boolean;
  ip: string;
  /** At most 1024 bytes of UTF-8 without control characters. */
  userAgent: string;
}

const ID_AT = 2;
const FLAGS_AT = ID_AT + 16;
const IDENTITY_AT = FLAGS_AT + 1;
const IP_AT = IDENTITY_AT + IDENTITY_BYTES;
const LONGEST_IP = 45;
const LONGEST_AGENT = 1024;
export const LONGEST_RECORD = IP_AT + 1 + LONGEST_IP + 2 + LONGEST_AGENT;

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'other'] as const;
const PREFETCH = 4;
const ACCEPT_LANGUAGE = 8;
const SEC_FETCH_MODE = 16;
const KIND_CLICK = 2;

/** Writes one record at `at` (the caller has kept {@link LONGEST_RECORD} bytes free) and returns the offset after it. */
export function encodeHit(into: Buffer, at: number, hit: NewHit, ms: number): number {
  writeUuid(into, at + ID_AT, ms);
  const method = hit.method === 'GET' ? 0 : hit.method === 'HEAD' ? 1 : hit.method === 'OPTIONS' ? 2 : 3;
  into[at + FLAGS_AT] =
    method |
    (hit.prefetch ? PREFETCH : 0) |
    (hit.acceptLanguage ? ACCEPT_LANGUAGE : 0) |
    (hit.secFetchMode ? SEC_FETCH_MODE : 0);
  hit.identity.copy(into, at + IDENTITY_AT, 0, IDENTITY_BYTES);
  let end = at + IP_AT + 1;
  const ipBytes = hit.ip.length > LONGEST_IP ? 0 : into.write(hit.ip, end, 'latin1');
  into[at + IP_AT] = ipBytes;
  end += ipBytes;
  const agentBytes = writeAgent(into, end + 2, hit.userAgent);
  into.writeUInt16LE(agentBytes, end);
  end += 2 + agentBytes;
  into.writeUInt16LE(end - at - 2, at);
  return end;
}

/** The offset after the record at `at`, or -1 when there is no whole record. */
export function recordEnd(bytes: Buffer, at: number): number {
  if (at + IP_AT + 3 > bytes.length) return -1;
  const end = at + 2 + bytes.readUInt16LE(at);
  return end > bytes.length || end < at + IP_AT + 3 ? -1 : end;
}

/** Reads the record in `[at, end)`; null for one this version does not know. */
export function decodeHit(bytes: Buffer, at: number, end: number): Hit | null {
  const agentLengthAt = at + IP_AT + 1 + (bytes[at + IP_AT] ?? 0);
  if (agentLengthAt + 2 > end || agentLengthAt + 2 + bytes.readUInt16LE(agentLengthAt) !== end) return null;
  const flags = bytes[at + FLAGS_AT] ?? 0;
  const header = bytes[at + IDENTITY_AT] ?? 0;
  if (header >> 4 !== 1 || (header & 15) === 0 || (header & 15) > KIND_CLICK) return null;
  return {
    id: uuidText(bytes.subarray(at + ID_AT, at + ID_AT + 16)),
    kind: (header & 15) === KIND_CLICK ? 'click' : 'open',
    at: new Date(hitTime(bytes, at)),
    ...identityOf(bytes.subarray(at + IDENTITY_AT, at + IDENTITY_AT + IDENTITY_BYTES)),
    method: METHODS[flags & 3] ?? 'other',
    prefetch: (flags & PREFETCH) !== 0,
    acceptLanguage: (flags & ACCEPT_LANGUAGE) !== 0,
    secFetchMode: (flags & SEC_FETCH_MODE) !== 0,
    ip: bytes.toString('latin1', at + IP_AT + 1, agentLengthAt),
    userAgent: bytes.toString('utf8', agentLengthAt + 2, end),
  };
}

/** Unix milliseconds of the record at `at`. */
export function hitTime(bytes: Buffer, at: number): number {
  return bytes.readUIntBE(at + ID_AT, 6);
}

const PLAIN = /^[\x20-\x7e]*$/;

function writeAgent(into: Buffer, at: number, agent: string): number {
  if (PLAIN.test(agent)) return into.write(agent, at, LONGEST_AGENT, 'latin1');
  // A partly written last character is left out by Buffer.write.
  return into.write(cleanText(agent), at, LONGEST_AGENT, 'utf8');
}

/** Header bytes are UTF-8 or else Latin-1; control characters become spaces. */
function cleanText(latin1: string): string {
  let text = latin1.slice(0, 4 * LONGEST_AGENT);
  const bytes = Buffer.from(text, 'latin1');
  const asUtf8 = bytes.toString('utf8');
  if (!/[\u0100-\uffff]/.test(text) && !asUtf8.includes('\ufffd')) text = asUtf8;
  return text.replace(/\p{Cc}+/gu, ' ').trim();
}

// One random fill serves 512 hits: 16 bytes from the pool cost a tenth of a call into the crypto library.
const random = Buffer.alloc(8192);
let used = random.length;

function writeUuid(into: Buffer, at: number, ms: number): void {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  random.copy(into, at + 6, used, used + 10);
  used += 16;
  into.writeUIntBE(ms, at, 6);
  into[at + 6] = ((into[at + 6] ?? 0) & 0x0f) | 0x70;
  into[at + 8] = ((into[at + 8] ?? 0) & 0x3f) | 0x80;
}
