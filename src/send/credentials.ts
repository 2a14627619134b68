import {
  SECRET_PAGES,
  STRONG_SECRET_PARAMETERS,
  WEAK_SECRET_LENGTH,
  WEAK_SECRET_PARAMETERS,
} from './secret-parameters.ts';

/** The length of value from which a parameter is a secret. */
const SECRET_FROM: ReadonlyMap<string, number> = new Map([
  ...WEAK_SECRET_PARAMETERS.map((name) => [name, WEAK_SECRET_LENGTH] as const),
  ...STRONG_SECRET_PARAMETERS.map((name) => [name, 0] as const),
]);

// Has a parameter that is listed, or whose name must be decoded, folded or cut off first. Half the time of taking the
// address apart, and nearly no address has one.
const MAY_BE_SECRET = new RegExp(
  `[?#&;](?:[a-z0-9_-]*[^a-z0-9_=?#&;-]|(?:${[...SECRET_FROM.keys()].join('|')})(?:[=?#&;]|$))`,
);
// Nothing to decode, to fold or to cut off.
const PLAIN_NAME = /^[a-z0-9_-]*$/;

/** `user:pass@host`, an empty user included. By hand, because that one is gone once the address is parsed. */
export function hasUserInfo(address: string): boolean {
  const start = address.indexOf('://');
  if (start === -1 || !address.includes('@')) return false;
  const authority = address.slice(start + 3).split(/[/\\?#]/, 1)[0];
  return authority?.includes('@') ?? false;
}

/** A page whose address is itself the permission to use it. */
export function isSecretPage(address: URL): boolean {
  return SECRET_PAGES.some((page) => page.host === address.hostname && page.path.test(address.pathname));
}

/**
 * Whether query or fragment has a parameter of the published list or of `extraNames` (lower case, as strong ones).
 * A fragment may start with a route (`#/reset?token=…`, `#/reset/token=…`).
 */
export function hasSecretParameter(address: string, extraNames: ReadonlySet<string>): boolean {
  if (extraNames.size === 0 && !MAY_BE_SECRET.test(address)) return false;
  const start = address.search(/[?#]/);
  if (start === -1) return false;
  const parts = address.slice(start + 1).split(/[?#&;]/);
  return parts.some((part) => isSecretParameter(part, extraNames));
}

function isSecretParameter(part: string, extraNames: ReadonlySet<string>): boolean {
  const equals = part.indexOf('=');
  const route = equals === -1 ? part : part.slice(0, equals);
  const name = PLAIN_NAME.test(route) ? route : lastName(route);
  if (extraNames.size > 0 && extraNames.has(name)) return true;
  const length = SECRET_FROM.get(name);
  if (length === undefined) return false;
  return length === 0 || (equals !== -1 && decoded(part.slice(equals + 1)).length >= length);
}

function lastName(route: string): string {
  const name = decoded(route).toLowerCase();
  return name.slice(name.lastIndexOf('/') + 1);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
