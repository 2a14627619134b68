// The envelope as it goes over the wire.
import { isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import type { OutgoingMail, RefusedRecipient } from '../provider.ts';

export interface Route {
  readonly from: string;
  readonly to: readonly string[];
  /** Recipients that this server could not be told of. */
  readonly refused: readonly RefusedRecipient[];
  /** How the caller writes an address of `to`. */
  written(address: string): string;
}

const NEEDS_SMTPUTF8 = 'the mail server does not take addresses beyond ASCII (SMTPUTF8)';

/** A sentence where the sender could not be told. A domain always can (RFC 5891), a local part only with SMTPUTF8. */
export function routeOf(envelope: OutgoingMail['envelope'], smtpUtf8: boolean): Route | string {
  const from = onWire(envelope.from);
  if (!smtpUtf8 && !isAscii(from)) return `${NEEDS_SMTPUTF8}: ${envelope.from}`;
  const spelling = new Map<string, string>();
  const refused: RefusedRecipient[] = [];
  for (const address of envelope.to) {
    const wire = onWire(address);
    if (smtpUtf8 || isAscii(wire)) spelling.set(wire, address);
    else refused.push({ address, reason: NEEDS_SMTPUTF8 });
  }
  return { from, to: [...spelling.keys()], refused, written: (address) => spelling.get(address) ?? address };
}

/**
 * The name said with EHLO. This machine's own is usually one of a container, and an address literal or `localhost`
 * is held against the mail (Gmail's relay turns them away); the mailbox's domain stands in the mail anyway.
 * Where there is none, the literal that RFC 5321 section 4.1.4 asks for.
 */
export function helloName(localAddress: string, ...addresses: readonly string[]): string {
  for (const address of addresses) {
    const at = address.lastIndexOf('@');
    const domain = at < 0 ? '' : domainToASCII(address.slice(at + 1));
    if (/^(?:[a-z0-9-]+\.)+[a-z0-9-]+$/i.test(domain)) return domain;
  }
  return isIPv6(localAddress) ? `[IPv6:${localAddress}]` : `[${localAddress}]`;
}

function onWire(address: string): string {
  if (isAscii(address)) return address;
  const at = address.lastIndexOf('@');
  const domain = domainToASCII(address.slice(at + 1));
  return at < 0 || domain === '' ? address : `${address.slice(0, at)}@${domain}`;
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}
