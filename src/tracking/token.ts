import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { uuidBytes, uuidText } from '../ids.ts';
import type { Keyring } from '../keyring.ts';
import { unmangled } from './mangling.ts';

// What is written here is in mail already delivered: it can be added to, never changed.
//
//   identity (28 bytes)  version << 4 | kind, key id, application serial u32, grant serial u32, message key (16), link index u16
//   MAC1     (16 bytes)  over 1, identity
//   MAC2     (16 bytes)  over 2, identity, destination; links only
//
//   <origin>/o/<base64url of identity, MAC1>.gif
//   <origin>/c/<base64url of identity, MAC1, MAC2>/<base64url of the destination>

/** Whom a hit belongs to. Serials are u32, `message` is a UUID as text, `link` a u16. */
export interface Identity {
  app: number;
  grant: number;
  message: string;
  link: number;
}

export type TokenKind = 'open' | 'click';

export interface TokenKeys {
  readonly current: number;
  /** By key id. */
  readonly secrets: readonly (KeyObject | undefined)[];
}

/** `identity` is the 28 proven bytes ({@link identityOf} reads them). With kind 'identity' the destination is absent or damaged. */
export type ReadLink =
  | { kind: 'good'; identity: Buffer; destination: string }
  | { kind: 'identity'; identity: Buffer }
  | { kind: 'forged' };

export const IDENTITY_BYTES = 28;

const VERSION = 1;
const KIND_BITS = { open: 1, click: 2 } satisfies Record<TokenKind, number>;
const MAC_BYTES = 16;
const PIXEL_CHARS = 59;
const LINK_CHARS = 80;
/** Old Outlook versions cut longer links. */
const LONGEST_LINK = 1000;
const LONGEST_DESTINATION_CHARS = 2048;
const IDENTITY_DOMAIN = 1;
const DESTINATION_DOMAIN = 2;
const FORGED: ReadLink = { kind: 'forged' };

/** Derives the token keys of a ring once; a KeyObject is several times faster than raw bytes on Node 24. */
export function tokenKeys(ring: Keyring): TokenKeys {
  const secrets: (KeyObject | undefined)[] = [];
  for (const id of ring.ids) secrets[id] = createSecretKey(ring.derive(id, 'token'));
  return { current: ring.current, secrets };
}

/** The tracked form of `destination`; one too long for {@link LONGEST_LINK} is left out and must be found by its row. */
export function linkUrl(keys: TokenKeys, origin: string, identity: Identity, destination: string): string {
  const target = Buffer.from(destination, 'utf8');
  const bytes = Buffer.alloc(1 + IDENTITY_BYTES + target.length);
  writeIdentity(bytes, keys.current, 'click', identity);
  target.copy(bytes, 1 + IDENTITY_BYTES);
  const secret = secretOf(keys, keys.current);
  const proof = [macOf(secret, IDENTITY_DOMAIN, bytes, IDENTITY_BYTES), macOf(secret, DESTINATION_DOMAIN, bytes)];
  const token = Buffer.concat([bytes.subarray(1, 1 + IDENTITY_BYTES), ...proof]).toString('base64url');
  const whole = `${origin}/c/${token}/${target.toString('base64url')}`;
  return whole.length > LONGEST_LINK ? `${origin}/c/${token}` : whole;
}

/** The address of a message's pixel. */
export function pixelUrl(keys: TokenKeys, origin: string, identity: Omit<Identity, 'link'>): string {
  const bytes = Buffer.alloc(1 + IDENTITY_BYTES);
  writeIdentity(bytes, keys.current, 'open', { ...identity, link: 0 });
  const proof = macOf(secretOf(keys, keys.current), IDENTITY_DOMAIN, bytes);
  return `${origin}/o/${Buffer.concat([bytes.subarray(1), proof]).toString('base64url')}.gif`;
}

/** `path` is a request target: whatever a mail gateway hung on to the link, or did to its characters, is tolerated. */
export function readLink(keys: TokenKeys, path: string): ReadLink {
  const asSent = proveLink(keys, path);
  if (asSent.kind === 'good') return asSent;
  const mended = unmangled(path);
  if (mended === path) return asSent;
  const second = proveLink(keys, mended);
  return second.kind === 'forged' ? asSent : second;
}

/** The 28 proven bytes of a pixel's identity, or null for a forged one. `path` as in {@link readLink}. */
export function readPixel(keys: TokenKeys, path: string): Buffer | null {
  const asSent = provePixel(keys, path);
  if (asSent !== null) return asSent;
  const mended = unmangled(path);
  return mended === path ? null : provePixel(keys, mended);
}

/** A link of ours in any text, on whatever host; `destination` null means that only its row knows it. Null: not ours. */
export function ownLink(keys: TokenKeys, url: string): { identity: Identity; destination: string | null } | null {
  const path = pathOf(url);
  if (path === null) return null;
  const link = readLink(keys, path);
  if (link.kind === 'forged') return null;
  return { identity: identityOf(link.identity), destination: link.kind === 'good' ? link.destination : null };
}

/** The identity in a pixel of ours, on whatever host. */
export function ownPixel(keys: TokenKeys, url: string): Identity | null {
  const path = pathOf(url);
  const identity = path === null ? null : readPixel(keys, path);
  return identity === null ? null : identityOf(identity);
}

/** Reads the proven bytes; every value of them is an identity. */
export function identityOf(bytes: Buffer): Identity {
  return {
    app: bytes.readUInt32BE(2),
    grant: bytes.readUInt32BE(6),
    message: uuidText(bytes.subarray(10, 26)),
    link: bytes.readUInt16BE(26),
  };
}

// One buffer for all proofs: they are made in one synchronous step. Layout: domain, identity, then the destination
// or, before it is written, the MACs.
const scratch = Buffer.alloc(1 + IDENTITY_BYTES + LONGEST_DESTINATION_CHARS);
const macs = Buffer.alloc(2 * MAC_BYTES);

function proveLink(keys: TokenKeys, path: string): ReadLink {
  if (!path.startsWith('/c/')) return FORGED;
  const tokenEnd = 3 + LINK_CHARS;
  const secret = takeToken(keys, 'click', path, tokenEnd);
  if (secret === undefined) return FORGED;
  if (path.charCodeAt(tokenEnd) === SLASH) {
    const end = alphabetEnd(path, tokenEnd + 1);
    if (end > tokenEnd + 1 && end - tokenEnd <= LONGEST_DESTINATION_CHARS) {
      const from = 1 + IDENTITY_BYTES;
      const to = from + scratch.write(path.slice(tokenEnd + 1, end), from, 'base64url');
      if (macIs(secret, DESTINATION_DOMAIN, to - 1, MAC_BYTES))
        return { kind: 'good', identity: takenIdentity(), destination: scratch.toString('utf8', from, to) };
    }
  }
  if (!macIs(secret, IDENTITY_DOMAIN, IDENTITY_BYTES, 0)) return FORGED;
  return { kind: 'identity', identity: takenIdentity() };
}

function provePixel(keys: TokenKeys, path: string): Buffer | null {
  if (!path.startsWith('/o/')) return null;
  const secret = takeToken(keys, 'open', path, 3 + PIXEL_CHARS);
  return secret !== undefined && macIs(secret, IDENTITY_DOMAIN, IDENTITY_BYTES, 0) ? takenIdentity() : null;
}

/** Puts the token in `path[3, end)` into the scratch and returns the key it names, or undefined when it cannot be ours. */
function takeToken(keys: TokenKeys, kind: TokenKind, path: string, end: number): KeyObject | undefined {
  if (path.length < end) return undefined;
  const wanted = IDENTITY_BYTES + (kind === 'open' ? 1 : 2) * MAC_BYTES;
  if (scratch.write(path.slice(3, end), 1, 'base64url') !== wanted) return undefined;
  if (scratch[1] !== ((VERSION << 4) | KIND_BITS[kind])) return undefined;
  scratch.copy(macs, 0, 1 + IDENTITY_BYTES, 1 + wanted);
  return keys.secrets[scratch[2] ?? 0];
}

function takenIdentity(): Buffer {
  const identity = Buffer.allocUnsafe(IDENTITY_BYTES);
  scratch.copy(identity, 0, 1, 1 + IDENTITY_BYTES);
  return identity;
}

function macIs(secret: KeyObject, domain: number, length: number, macAt: number): boolean {
  const mac = macOf(secret, domain, scratch, length);
  return timingSafeEqual(mac, macs.subarray(macAt, macAt + MAC_BYTES));
}

/** `bytes[0]` is overwritten with the domain; `length` bytes after it are covered. */
function macOf(secret: KeyObject, domain: number, bytes: Buffer, length = bytes.length - 1): Buffer {
  bytes[0] = domain;
  return createHmac('sha256', secret)
    .update(bytes.subarray(0, 1 + length))
    .digest()
    .subarray(0, MAC_BYTES);
}

function writeIdentity(bytes: Buffer, keyId: number, kind: TokenKind, identity: Identity): void {
  bytes[1] = (VERSION << 4) | KIND_BITS[kind];
  bytes[2] = keyId;
  bytes.writeUInt32BE(identity.app, 3);
  bytes.writeUInt32BE(identity.grant, 7);
  const key = uuidBytes(identity.message);
  if (key.length !== 16) throw new RangeError(`not a message key: ${identity.message}`);
  key.copy(bytes, 11);
  bytes.writeUInt16BE(identity.link, 27);
}

function secretOf(keys: TokenKeys, id: number): KeyObject {
  const secret = keys.secrets[id];
  if (secret === undefined) throw new RangeError(`no token key ${id}`);
  return secret;
}

function pathOf(url: string): string | null {
  const start = /^\s*https?:\/\/[^/?#]+(?=\/)/i.exec(url)?.[0].length;
  return start === undefined ? null : url.slice(start).trimEnd();
}

const SLASH = 0x2f;

function alphabetEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length && isBase64Url(text.charCodeAt(at))) at++;
  return at;
}

function isBase64Url(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x2d ||
    code === 0x5f
  );
}
