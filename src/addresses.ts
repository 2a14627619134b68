import ipaddr from 'ipaddr.js';

/** A set of networks. `has` takes any text; what is not an address is in no set. */
export interface Ranges {
  readonly empty: boolean;
  has(address: string): boolean;
}

/** The list is not one of addresses and networks; the message is one sentence for the operator. */
export class AddressProblem extends Error {
  override name = 'AddressProblem';
}

const REMEMBERED = 4096;

/** Reads addresses and CIDR networks, separated by commas or white space. Throws {@link AddressProblem}. */
export function parseRanges(text: string): Ranges {
  const networks = text
    .split(/[\s,]+/)
    .filter((part) => part !== '')
    .map(parseNetwork);
  const verdicts = new Map<string, boolean>();
  return {
    empty: networks.length === 0,
    has(address) {
      if (networks.length === 0) return false;
      const known = verdicts.get(address);
      if (known !== undefined) return known;
      const parsed = parseAddress(address);
      const verdict = parsed !== null && networks.some((network) => matches(parsed, network));
      if (verdicts.size >= REMEMBERED) verdicts.clear();
      verdicts.set(address, verdict);
      return verdict;
    },
  };
}

const normal = new Map<string, string>();

/** The one way we write an address (IPv4-mapped unwrapped, zone dropped, at most 45 characters), or '' for anything else. */
export function normalAddress(text: string): string {
  const known = normal.get(text);
  if (known !== undefined) return known;
  const parsed = parseAddress(text);
  const address = parsed === null ? '' : parsed.toString();
  if (text.length > 64) return address;
  if (normal.size >= REMEMBERED) normal.clear();
  normal.set(text, address);
  return address;
}

/**
 * Who is really there: starts at the connection's peer and steps left through X-Forwarded-For for as long as the
 * address reached belongs to a trusted proxy. An unreadable entry behind a trusted proxy gives '' (the proxy's own
 * address would be a wrong answer).
 */
export function clientAddress(peer: string, forwardedFor: string, trusted: Ranges): string {
  let address = normalAddress(peer);
  if (forwardedFor === '' || trusted.empty || !trusted.has(address)) return address;
  let end = forwardedFor.length;
  // A header of thousands of entries costs at most this many steps.
  for (let hops = 0; end > 0 && hops < 32 && trusted.has(address); hops++) {
    const comma = forwardedFor.lastIndexOf(',', end - 1);
    const entry = forwardedFor.slice(comma + 1, end).trim();
    end = comma;
    if (entry === '') continue;
    address = normalAddress(withoutPort(entry));
  }
  return address;
}

function parseNetwork(text: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  const slash = text.indexOf('/');
  const base = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (base === null) throw new AddressProblem(`"${text}" is neither an address nor a network.`);
  const widest = base.kind() === 'ipv4' ? 32 : 128;
  if (slash < 0) return [base, widest];
  const suffix = text.slice(slash + 1);
  const bits = /^\d{1,3}$/.test(suffix) ? Number(suffix) : -1;
  if (bits < 0 || bits > widest) throw new AddressProblem(`"${text}" has no prefix length from 0 to ${widest}.`);
  return [base, bits];
}

function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  const percent = text.indexOf('%');
  const bare = percent < 0 ? text : text.slice(0, percent);
  // The four-part form only: ipaddr.js would also read 127.1, 0x7f000001 and 017700000001.
  if (ipaddr.IPv4.isValidFourPartDecimal(bare)) return ipaddr.IPv4.parse(bare);
  if (bare.length > 45 || !ipaddr.IPv6.isValid(bare)) return null;
  const six = ipaddr.IPv6.parse(bare);
  return six.isIPv4MappedAddress() ? six.toIPv4Address() : six;
}

function matches(address: ipaddr.IPv4 | ipaddr.IPv6, [base, bits]: [ipaddr.IPv4 | ipaddr.IPv6, number]): boolean {
  return address.kind() === base.kind() && address.match(base, bits);
}

/** Some balancers write `1.2.3.4:567`, `[::1]:567` or quotes. */
function withoutPort(entry: string): string {
  const bracketed = /^"?\[([^\]]*)\](?::\d+)?"?$/.exec(entry)?.[1];
  if (bracketed !== undefined) return bracketed;
  const four = /^"?(\d+\.\d+\.\d+\.\d+)(?::\d+)?"?$/.exec(entry)?.[1];
  return four ?? entry;
}
