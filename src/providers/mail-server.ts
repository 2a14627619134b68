// The way to a mail server that a customer named: its address is judged like a webhook's before it is dialled.
import { isIP, type LookupFunction } from 'node:net';
import tls, { createSecureContext, type SecureContext } from 'node:tls';
import { NameError, type Names } from '../names.ts';
import { type AddressPolicy, judgeAddress } from '../public-address.ts';

export interface MailNetwork extends AddressPolicy {
  readonly names: Names;
  /** Certificate authorities to trust besides the usual ones, PEM; null for none. */
  readonly ca: string | null;
}

/** A server that may be dialled. */
export interface Reachable {
  /** Answers with the judged addresses alone; not asked where the host is written as an address. */
  readonly lookup: LookupFunction;
  /** Whether credentials may go over a connection without TLS: only on this machine and in networks the operator opened. */
  readonly mayBePlain: boolean;
  readonly tls: { readonly servername?: string; readonly secureContext: SecureContext };
}

export interface Unreachable {
  readonly kind: 'blocked' | 'unreachable';
  /** One sentence without a full stop. */
  readonly reason: string;
}

/** Resolves and judges a host. Every one of its addresses has to be allowed. */
export async function reachServer(network: MailNetwork, host: string): Promise<Reachable | Unreachable> {
  let addresses: readonly string[];
  try {
    addresses = isIP(host) === 0 ? await network.names.lookUp(host) : [host];
  } catch (error) {
    if (error instanceof NameError) return { kind: 'unreachable', reason: error.message };
    throw error;
  }
  const verdicts = addresses.map((address) => judgeAddress(network, address));
  for (const verdict of verdicts) {
    if (verdict.kind === 'blocked') return { kind: 'blocked', reason: `${host} leads to ${verdict.reason}` };
  }
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  const first = all[0] ?? { address: '', family: 0 };
  return {
    lookup: (_hostname, options, callback) =>
      options.all ? callback(null, all) : callback(null, first.address, first.family),
    mayBePlain: verdicts.every(({ kind }) => kind === 'allowed'),
    tls: { ...(isIP(host) === 0 && { servername: host }), secureContext: trustOf(network) },
  };
}

const trusts = new WeakMap<MailNetwork, SecureContext>();

/** Made once: with authorities named it takes 21 ms of the event loop and half a megabyte. */
function trustOf(network: MailNetwork): SecureContext {
  let trust = trusts.get(network);
  if (trust === undefined) {
    trust = createSecureContext({
      minVersion: 'TLSv1.2', // RFC 8996
      ...(network.ca !== null && { ca: [...usualAuthorities(), network.ca] }),
    });
    trusts.set(network, trust);
  }
  return trust;
}

/** With `ca` set Node forgets what it trusts by itself, NODE_EXTRA_CA_CERTS included; before 22.15 only its own list can be asked. */
export function usualAuthorities(): readonly string[] {
  const ask: unknown = Reflect.get(tls, 'getCACertificates');
  return typeof ask === 'function' ? ask('default') : tls.rootCertificates;
}

const CERTIFICATE = /^(CERT_|ERR_TLS_CERT|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH)/;

/** Why we ended a TLS connection ourselves: what is wrong with the server's certificate. Null where that was not it. */
export function certificateProblem(error: unknown): string | null {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    for (const name of ['code', 'originalCode']) {
      const code = String(Reflect.get(at, name) ?? '');
      if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH') return OTHER_NAMES;
      if (code === 'CERT_HAS_EXPIRED') return 'its certificate has expired';
      if (code === 'CERT_NOT_YET_VALID') return 'its certificate is not valid yet';
      if (CERTIFICATE.test(code)) return UNTRUSTED;
    }
  }
  return null;
}

const OTHER_NAMES = 'its certificate is for other host names';
const UNTRUSTED = 'its certificate is not trusted; the operator can name its authority in TELLTALE_MAIL_CA_FILE';
