import { createHmac, randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';
/** What test events are signed with, whatever a webhook's own secret is: Nylas's reference fixes it. No base64. */
export const TEST_SECRET = 'mock-webhook-secret';

/** One string for both kinds of receiver: Nylas's take its UTF-8 bytes as the key, Standard Webhooks what it encodes. */
export function makeSecret(): string {
  return PREFIX + randomBytes(32).toString('base64');
}

export interface Signed {
  /** The same for every attempt: what a receiver drops duplicates by. */
  readonly id: string;
  /** Exactly the bytes that are sent, compressed where they are. */
  readonly body: Buffer;
  /** Unix seconds of this attempt. */
  readonly timestamp: number;
}

/**
 * The signature headers of a delivery: Nylas's own, under the newest secret alone because it holds one, and those of
 * Standard Webhooks 1.0, with a signature per secret that is of its form. `secrets` newest first.
 */
export function signatureHeaders(secrets: readonly string[], signed: Signed): Record<string, string> {
  const [newest] = secrets;
  if (newest === undefined) throw new Error('nothing to sign with');
  const standard = secrets.filter((secret) => secret.startsWith(PREFIX));
  return {
    'X-Nylas-Signature': nylasSignature(newest, signed.body),
    'webhook-id': signed.id,
    'webhook-timestamp': String(signed.timestamp),
    ...(standard.length === 0
      ? {}
      : { 'webhook-signature': standard.map((secret) => `v1,${standardSignature(secret, signed)}`).join(' ') }),
  };
}

/** Base64 HMAC-SHA256 over id, timestamp and body (Standard Webhooks 1.0). Takes a secret without its `whsec_` too. */
export function standardSignature(secret: string, { id, body, timestamp }: Signed): string {
  const key = Buffer.from(secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret, 'base64');
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
}

/** Lower-case hex HMAC-SHA256. */
export function nylasSignature(secret: string, body: Buffer | string): string {
  return createHmac('sha256', Buffer.from(secret, 'utf8')).update(body).digest('hex');
}
