import { decodeHTMLAttribute } from 'entities';
import { isSpace } from './characters.ts';
import { hasSecretParameter, hasUserInfo, isSecretPage } from './credentials.ts';
import { SECRET_PAGES } from './secret-parameters.ts';

/** Longer addresses are left as written: old clients cut them, and a tracking URL would make them longer still. */
export const MAX_URL_LENGTH = 8_000;

/** What is tracked. Made by `linkPolicy`. */
export interface LinkPolicy {
  readonly schemes: ReadonlySet<string>;
  readonly secretNames: ReadonlySet<string>;
}

// Refused even if a setting names them: they run code or have no destination outside the message.
const NEVER: ReadonlySet<string> = new Set(['javascript', 'vbscript', 'data', 'blob', 'file', 'about', 'cid', 'mid']);

// Printable ASCII without spaces: nothing to strip, nothing to refuse.
const PLAIN = /^[!-~]*$/;
// The same without `&`: nothing to decode either.
const PLAIN_RAW = /^[!-%'-~]*$/;
const SCHEME = /^[a-z][a-z0-9+.-]*$/;
const WEB = /^https?:\/\/[^/\\]/i;
// Always valid: lower-case labels, the last one letters (so no IPv4 number), no punycode, no port. Never a secret page.
const PLAIN_WEB = new RegExp(
  `^https?://(?!${SECRET_PAGES.map((page) => page.host).join('|')})(?:(?!xn--)[a-z0-9-]+\\.)+[a-z]{2,}(?:[/?#][!-~]*)?$`,
);
// Always valid: without a slash behind the colon there is no host to check.
const OPAQUE = /^(?:mailto|tel):[^/]/;
const PLACEHOLDER = /^[^?]*(?:\{\{|\*\||%%|\$\{|<%|\[\[)/;
const UNUSABLE = /[\p{Cc}\p{Cs}]/u;

/** `schemes` without the colon; `secretNames` are added to the strong secret parameters. Case does not matter. */
export function linkPolicy(schemes: readonly string[], secretNames: readonly string[]): LinkPolicy {
  const wanted = schemes.map((scheme) => scheme.toLowerCase());
  return {
    schemes: new Set(wanted.filter((scheme) => SCHEME.test(scheme) && !NEVER.has(scheme))),
    secretNames: new Set(secretNames.map((name) => name.toLowerCase())),
  };
}

/**
 * The address in a raw attribute value as a browser reads it: entities decoded, surrounding white space stripped, tabs
 * and line breaks removed. Null when it is empty, too long, or holds control characters or half a surrogate pair.
 */
export function readAddress(raw: string): string | null {
  const address = PLAIN_RAW.test(raw) ? raw : stripped(decodeHTMLAttribute(raw));
  if (address === null || address === '' || address.length > MAX_URL_LENGTH) return null;
  return address;
}

/** Whether an address is an absolute http(s) one, not yet whether it is valid. */
export function isWebAddress(address: string): boolean {
  return WEB.test(address);
}

/** Whether an address from `readAddress` is a valid URI of a tracked scheme without credentials. */
export function isTrackable(address: string, policy: LinkPolicy): boolean {
  const scheme = schemeOf(address);
  if (!policy.schemes.has(scheme)) return false;
  const isWeb = scheme === 'https' || scheme === 'http';
  const isFit = isWeb ? isFitWebAddress(address) : isTarget(address, scheme.length + 1);
  return isFit && !hasSecretParameter(address, policy.secretNames);
}

function schemeOf(address: string): string {
  if (address.startsWith('https:')) return 'https';
  return address.slice(0, Math.max(0, address.indexOf(':'))).toLowerCase();
}

function isFitWebAddress(address: string): boolean {
  // Saves parsing most addresses, which costs as much as the rest of this file.
  if (PLAIN_WEB.test(address)) return true;
  if (!isWebAddress(address) || hasUserInfo(address) || !URL.canParse(address)) return false;
  const parsed = new URL(address);
  return isHost(parsed.hostname) && !isSecretPage(parsed);
}

/** A name or number that can be looked up: `{{host}}` and `${host}` pass the URL parser but are placeholders. */
function isHost(hostname: string): boolean {
  return (/^[\w.~-]+$/.test(hostname) && /[a-z0-9]/.test(hostname)) || hostname.startsWith('[');
}

/** What follows `mailto:` or `tel:` names something and is not a placeholder. One in the parameters is literal text. */
function isTarget(address: string, from: number): boolean {
  if (from === address.length || PLACEHOLDER.test(address)) return false;
  return OPAQUE.test(address) || URL.canParse(address);
}

function stripped(text: string): string | null {
  if (PLAIN.test(text)) return text;
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (start < end && isSpace(text.charCodeAt(end - 1))) end--;
  const address = text.slice(start, end).replaceAll(/[\t\n\r]+/g, '');
  return UNUSABLE.test(address) ? null : address;
}
