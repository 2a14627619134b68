import { createHmac, randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';

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

/** The signature headers of a delivery: Nylas's own and those of Standard Webhooks 1.0. */
export function signatureHeaders(secret: string, { id, body, timestamp }: Signed): Record<string, string> {
  const key = Buffer.from(secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret, 'base64');
  const standard = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
  return {
    'X-Nylas-Signature': nylasSignature(secret, body),
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': `v1,${standard}`,
  };
}

/** Lower-case hex HMAC-SHA256. */
export function nylasSignature(secret: string, body: Buffer | string): string {
  return createHmac('sha256', Buffer.from(secret, 'utf8')).update(body).digest('hex');
}
