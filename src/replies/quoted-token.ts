// Our own links and pixels in the text that a mail quotes, whatever programs and gateways made of them on the way.
import { type Identity, ownLink, ownPixel, type TokenKeys } from '../tracking/token.ts';

/** What is looked through, from its beginning. */
const MOST_BYTES = 256 * 1024;
const MOST_CANDIDATES = 5_000;
/** A token and, so that a damaged end shows, something after it. */
const LONGEST_TOKEN = 100;

/**
 * Whose links and pixels stand in a mail, each message once, as far as their MACs prove them. `raw` is the mail as it was
 * transferred; it may end anywhere. In time linear in its size.
 *
 * The mail is not taken apart: a token found in any part, in any encoding, was quoted.
 */
export function quotedTokens(keys: TokenKeys, raw: Buffer): Identity[] {
  const text = raw.toString('latin1', 0, MOST_BYTES);
  const found = new Map<string, Identity>();
  let left = MOST_CANDIDATES;
  for (const layer of layersOf(text)) {
    for (const [, kind, token = ''] of layer.matchAll(/\/([co])\/+([\w-]{50,})/gi)) {
      if (left-- <= 0) return [...found.values()];
      const url = `https://host/${kind}/${token.slice(0, LONGEST_TOKEN)}`;
      const identity = kind === 'o' ? ownPixel(keys, url) : (ownLink(keys, url)?.identity ?? null);
      if (identity !== null) found.set(`${identity.app} ${identity.grant} ${identity.message}`, identity);
    }
  }
  return [...found.values()];
}

/** The text, what is encoded in it, and the addresses that gateways have written into theirs. */
function* layersOf(text: string): Generator<string> {
  for (const layer of [text, ...base64Parts(text)]) {
    const plain = unfolded(layer);
    yield plain;
    yield* wrappedAddresses(plain);
  }
}

/** Runs of lines that are base64 throughout, decoded. A blank line or a boundary ends one. */
function base64Parts(text: string): string[] {
  const parts: string[] = [];
  let lines: string[] = [];
  let size = 0;
  const end = (): void => {
    if (size >= 64) parts.push(Buffer.from(lines.join(''), 'base64').toString('latin1'));
    lines = [];
    size = 0;
  };
  for (const line of text.split('\n')) {
    const bare = line.trimEnd();
    if (/^[A-Za-z0-9+/]+={0,2}$/.test(bare)) {
      lines.push(bare);
      size += bare.length;
    } else end();
  }
  end();
  return parts;
}

/**
 * On one line and without escapes, those of quoted-printable, HTML and addresses alike: what a token consists of has none,
 * and it has a fixed length, so nothing that is joined to it does harm.
 */
function unfolded(text: string): string {
  const joined = text
    .replaceAll('\0', '') // UTF-16
    .replace(/[ \t]{0,3}=?\r?\n[ \t>|]*/g, '')
    .replace(/=([2-7][0-9a-f])/gi, (_, hex: string) => character(hex))
    .replace(/&#x0{0,4}([2-7][0-9a-f]);/gi, (_, hex: string) => character(hex))
    .replace(/&#0{0,4}(3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6]);/g, (_, code: string) =>
      String.fromCharCode(Number(code)),
    );
  return unescaped(unescaped(unescaped(joined)));
}

function unescaped(text: string): string {
  return text.replace(/%([2-7][0-9a-f])/gi, (_, hex: string) => character(hex));
}

function character(hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

/**
 * What percent-escapes alone do not bring out: Proofpoint's second form writes `-2D` for an escape and `_` for a slash,
 * Sophos and others give the address in base64.
 */
function* wrappedAddresses(text: string): Generator<string> {
  for (const [, address = ''] of text.matchAll(/\/v2\/url\?u=([\w%.~-]{50,4000})/g)) {
    yield unescaped(address.replaceAll('-', '%').replaceAll('_', '/'));
  }
  for (const [address] of text.matchAll(/aHR0c[\w+/-]{50,4000}/g)) {
    yield unescaped(Buffer.from(address, 'base64').toString('latin1'));
  }
}
