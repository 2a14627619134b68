import { domainToASCII } from 'node:url';

/** Every address a mailbox writes under, in the form in which they are compared. */
export type OwnAddresses = ReadonlySet<string>;

/** Settings of a grant that hold an address where the server takes one as the user's name. */
const USER_NAMES = ['imap_username', 'smtp_username'] as const;
const GMAIL = new Set(['gmail.com', 'googlemail.com']);

export function ownAddresses(grant: {
  readonly email: string;
  readonly aliases: readonly string[];
  /** What a grant shows of its settings. */
  readonly settings: { readonly [name: string]: unknown };
}): OwnAddresses {
  const names = USER_NAMES.map((name) => grant.settings[name]).filter((value) => typeof value === 'string');
  return new Set([grant.email, ...grant.aliases, ...names].map(comparable).filter((address) => address !== ''));
}

/** Case, sub-addresses (alice+offers@ is alice@) and the dots of Gmail make no difference. */
export function isOwn(own: OwnAddresses, email: string | null | undefined): boolean {
  return typeof email === 'string' && own.has(comparable(email));
}

/** '' for what is no address. */
function comparable(email: string): string {
  const address = email.trim().normalize('NFC').toLowerCase();
  const at = address.lastIndexOf('@');
  if (at < 1 || address.length > 320) return '';
  const written = address.slice(at + 1).replace(/\.$/, '');
  const domain = domainToASCII(written) || written;
  const local = address.slice(0, at).replace(/^"(.*)"$/, '$1');
  const plus = local.indexOf('+');
  const base = plus > 0 ? local.slice(0, plus) : local;
  if (base === '' || domain === '') return '';
  return GMAIL.has(domain) ? `${base.replaceAll('.', '')}@gmail.com` : `${base}@${domain}`;
}
