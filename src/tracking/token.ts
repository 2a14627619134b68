import { uuidBytes, uuidText } from '../ids.ts';
import type { Keyring } from '../keyring.ts';
import { MAC_BYTES, type MacKey, MESSAGE_AT, macKey, macOf, macScratch, proves } from './mac.ts';
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
  readonly secrets: readonly (MacKey | undefined)[];
}

/** `identity` is the 28 proven bytes ({@link identityOf} reads them). With kind 'identity' the destination is absent or damaged. */
export type ReadLink =
  | { kind: 'good'; identity: Buffer; destination: string }
  | { kind: 'identity'; identity: Buffer }
  | { kind: 'forged' };

export const IDENTITY_BYTES = 28;

const VERSION = 1;
const KIND_BITS = { open: 1, click: 2 } satisfies Record<TokenKind, number>;
const PIXEL_CHARS = 59;
const LINK_CHARS = 80;
/** Old Outlook versions cut longer links. */
const LONGEST_LINK = 1000;
const LONGEST_DESTINATION_CHARS = 2048;
const IDENTITY_DOMAIN = 1;
const DESTINATION_DOMAIN = 2;
const FORGED: ReadLink = { kind: 'forged' };

/** Derives the token keys of a ring, once per process. */
export function tokenKeys(ring: Keyring): TokenKeys {
  const secrets: (MacKey | undefined)[] = [];
  for (const id of ring.ids) secrets[id] = macKey(ring.derive(id, 'token'));
  return { current: ring.current, secrets };
}

/** The tracked form of `destination`; one too long for {@link LONGEST_LINK} is left out and must be found by its row. */
export function linkUrl(keys: TokenKeys, origin: string, identity: Identity, destination: string): string {
  const target = Buffer.from(destination, 'utf8');
  const room = macScratch(1 + IDENTITY_BYTES + target.length);
  const secret = writeIdentity(room, keys, 'click', identity);
  target.copy(room, TARGET_AT);
  const token = tokenOf(room, [
    macIn(secret, IDENTITY_DOMAIN, room, TARGET_AT),
    macIn(secret, DESTINATION_DOMAIN, room, room.length),
  ]);
  const whole = `${origin}/c/${token}/${target.toString('base64url')}`;
  return whole.length > LONGEST_LINK ? `${origin}/c/${token}` : whole;
}

/** The address of a message's pixel. */
export function pixelUrl(keys: TokenKeys, origin: string, identity: Omit<Identity, 'link'>): string {
  const room = macScratch(1 + IDENTITY_BYTES);
  const secret = writeIdentity(room, keys, 'open', { ...identity, link: 0 });
  return `${origin}/o/${tokenOf(room, [macIn(secret, IDENTITY_DOMAIN, room, TARGET_AT)])}.gif`;
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

// Where the parts lie in the room a MAC is made from: domain, identity, then the destination or, before it is written,
// the MACs of the token.
const IDENTITY_AT = MESSAGE_AT + 1;
const TARGET_AT = IDENTITY_AT + IDENTITY_BYTES;

// One room for all proofs: each is made in one synchronous step.
const scratch = macScratch(1 + IDENTITY_BYTES + LONGEST_DESTINATION_CHARS);
const macs = Buffer.alloc(2 * MAC_BYTES);

function proveLink(keys: TokenKeys, path: string): ReadLink {
  if (!path.startsWith('/c/')) return FORGED;
  const tokenEnd = 3 + LINK_CHARS;
  const secret = takeToken(keys, 'click', path, tokenEnd);
  if (secret === undefined) return FORGED;
  if (path.charCodeAt(tokenEnd) === SLASH) {
    const end = alphabetEnd(path, tokenEnd + 1);
    if (end > tokenEnd + 1 && end - tokenEnd <= LONGEST_DESTINATION_CHARS) {
      const to = TARGET_AT + scratch.write(path.slice(tokenEnd + 1, end), TARGET_AT, 'base64url');
      if (isProven(secret, DESTINATION_DOMAIN, to, MAC_BYTES))
        return { kind: 'good', identity: takenIdentity(), destination: scratch.toString('utf8', TARGET_AT, to) };
    }
  }
  if (!isProven(secret, IDENTITY_DOMAIN, TARGET_AT, 0)) return FORGED;
  return { kind: 'identity', identity: takenIdentity() };
}

function provePixel(keys: TokenKeys, path: string): Buffer | null {
  if (!path.startsWith('/o/')) return null;
  const secret = takeToken(keys, 'open', path, 3 + PIXEL_CHARS);
  return secret !== undefined && isProven(secret, IDENTITY_DOMAIN, TARGET_AT, 0) ? takenIdentity() : null;
}

/** Puts the token in `path[3, end)` into the scratch and returns the key it names, or undefined when it cannot be ours. */
function takeToken(keys: TokenKeys, kind: TokenKind, path: string, end: number): MacKey | undefined {
  if (path.length < end) return undefined;
  const wanted = IDENTITY_BYTES + (kind === 'open' ? 1 : 2) * MAC_BYTES;
  if (scratch.write(path.slice(3, end), IDENTITY_AT, 'base64url') !== wanted) return undefined;
  if (scratch[IDENTITY_AT] !== ((VERSION << 4) | KIND_BITS[kind])) return undefined;
  scratch.copy(macs, 0, TARGET_AT, IDENTITY_AT + wanted);
  return keys.secrets[scratch[IDENTITY_AT + 1] ?? 0];
}

function takenIdentity(): Buffer {
  const identity = Buffer.allocUnsafe(IDENTITY_BYTES);
  scratch.copy(identity, 0, IDENTITY_AT, TARGET_AT);
  return identity;
}

function isProven(secret: MacKey, domain: number, to: number, macAt: number): boolean {
  scratch[MESSAGE_AT] = domain;
  return proves(secret, scratch, to - MESSAGE_AT, macs, macAt);
}

function macIn(secret: MacKey, domain: number, room: Buffer, to: number): Buffer {
  room[MESSAGE_AT] = domain;
  return Buffer.from(macOf(secret, room, to - MESSAGE_AT), 'latin1');
}

function tokenOf(room: Buffer, proofs: Buffer[]): string {
  return Buffer.concat([room.subarray(IDENTITY_AT, TARGET_AT), ...proofs]).toString('base64url');
}

/** Returns the key that signs. */
function writeIdentity(room: Buffer, keys: TokenKeys, kind: TokenKind, identity: Identity): MacKey {
  const secret = keys.secrets[keys.current];
  if (secret === undefined) throw new RangeError(`no token key ${keys.current}`);
  const key = uuidBytes(identity.message);
  if (key.length !== 16) throw new RangeError(`not a message key: ${identity.message}`);
  room[IDENTITY_AT] = (VERSION << 4) | KIND_BITS[kind];
  room[IDENTITY_AT + 1] = keys.current;
  room.writeUInt32BE(identity.app, IDENTITY_AT + 2);
  room.writeUInt32BE(identity.grant, IDENTITY_AT + 6);
  key.copy(room, IDENTITY_AT + 10);
  room.writeUInt16BE(identity.link, IDENTITY_AT + 26);
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
