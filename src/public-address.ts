import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Which addresses beyond the public ones a customer's URL may lead to. */
export interface AddressPolicy {
  /** This machine itself: only while the service runs for its own machine. */
  readonly allowLoopback: boolean;
  /** Private networks the operator opened. */
  readonly allowPrivateTargets: { has(address: string): boolean };
}

export type AddressVerdict =
  | { readonly kind: 'public' }
  /** Loopback or private, and allowed: plain http is fine there. */
  | { readonly kind: 'allowed' }
  | { readonly kind: 'blocked'; readonly reason: string };

type Address = ipaddr.IPv4 | ipaddr.IPv6;

// Services of a cloud's own host, answered to whoever runs on it. No range an operator opens includes them.
const METADATA = [
  '169.254.169.254/32',
  '168.63.129.16/32', // Azure
  '100.100.100.200/32', // Alibaba
  'fd00:ec2::/32', // Amazon: metadata, container credentials, clock and resolver
  'fd20:ce::254/128', // Google
  'fd00:c1::a9fe:a9fe/128', // Oracle
  'fd00:42::42/128', // Scaleway
].map((network) => ipaddr.parseCIDR(network));
const OPENABLE = new Set(['private', 'carrierGradeNat', 'uniqueLocal', 'loopback']);
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3'); // RFC 4291 section 2.4: all that is handed out
const PROTOCOLS = ipaddr.IPv6.parseCIDR('2001::/23'); // RFC 2928: anycast services and tunnels, no one's host
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96'); // RFC 6052; a DNS64 network answers every IPv4-only name with it

const BLOCKED: Readonly<Record<string, string>> = {
  loopback: 'a loopback address',
  private: 'a private address',
  uniqueLocal: 'a private address',
  carrierGradeNat: 'a private address',
  linkLocal: 'a link-local address',
  multicast: 'a multicast address',
  broadcast: 'a broadcast address',
  unspecified: 'an unspecified address',
};

/** Judges one address as it would be dialled; any other notation than that of `net.isIP`, or a zone, is blocked. */
export function judgeAddress(policy: AddressPolicy, text: string): AddressVerdict {
  if (isIP(text) === 0 || text.includes('%')) return blocked('an address with a zone or of no known form');
  const address = ipaddr.process(text); // unwraps IPv4-mapped
  if (isMetadata(address)) return blocked('a metadata address');
  const range: string = address.range();
  if (range === 'unicast') return isGlobal(address) ? { kind: 'public' } : blocked('a reserved address');
  if (range === 'loopback' && policy.allowLoopback) return { kind: 'allowed' };
  if (OPENABLE.has(range) && policy.allowPrivateTargets.has(address.toString())) return { kind: 'allowed' };
  if (address instanceof ipaddr.IPv6 && address.match(NAT64)) return judgeTranslated(address);
  return blocked(BLOCKED[range] ?? 'a reserved address');
}

function isMetadata(address: Address): boolean {
  return METADATA.some(([base, bits]) => base.kind() === address.kind() && address.match(base, bits));
}

function isGlobal(address: Address): boolean {
  if (address instanceof ipaddr.IPv4) return true;
  return address.match(GLOBAL_UNICAST) && !address.match(PROTOCOLS) && !isIsatap(address);
}

/** RFC 5214 section 6.1: a tunnel to the IPv4 address in the last four bytes, behind any prefix. */
function isIsatap({ parts }: ipaddr.IPv6): boolean {
  return (parts[4] === 0 || parts[4] === 0x200) && parts[5] === 0x5efe;
}

/** A translator stands between: only what is public behind it may be reached, whatever is allowed on this side. */
function judgeTranslated(address: ipaddr.IPv6): AddressVerdict {
  const inner = new ipaddr.IPv4(address.toByteArray().slice(12));
  if (isMetadata(inner)) return blocked('a metadata address');
  return inner.range() === 'unicast' ? { kind: 'public' } : blocked('a translated private address');
}

function blocked(reason: string): AddressVerdict {
  return { kind: 'blocked', reason };
}
