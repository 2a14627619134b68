// What is told of a bounce: written when it is found in the mailbox, read at delivery.
import type { Fact } from '../db/outbox.ts';
import { isObject, isTexts } from './stored-detail.ts';

/** A message of ours that came back for good (contract 2.6). */
export interface BounceDetail {
  /** Of the grant, as shown on the wire. */
  readonly provider: string;
  /** In the words of the server that refused. */
  readonly reason: string;
  /** `mailbox_unavailable` or `domain_not_found`. */
  readonly type: string;
  /** Three digits of SMTP. */
  readonly code: string;
  /** Unix seconds. */
  readonly bouncedAt: number;
  /** The recipients that did not get it. */
  readonly addresses: readonly string[];
  /** The message as it was sent; addresses without names. */
  readonly origin: {
    readonly from: string;
    readonly to: readonly string[];
    readonly cc: readonly string[];
    readonly bcc: readonly string[];
    readonly subject: string;
    /** Its Message-ID, without angle brackets. */
    readonly mimeId: string;
    /** Unix seconds. */
    readonly sentAt: number;
  };
}

export interface ToldBounce extends BounceDetail {
  readonly app: number;
  /** The message that came back, its own id in the database's form. */
  readonly messageId: string;
  readonly happenedAt: Date;
}

/** The fact to be emitted in the transaction that records the bounce. */
export function bounceFact({ app, messageId, happenedAt, ...bounce }: ToldBounce): Fact {
  const { from, to, cc, bcc, subject, mimeId, sentAt } = bounce.origin;
  const detail = {
    provider: bounce.provider,
    reason: bounce.reason,
    type: bounce.type,
    code: bounce.code,
    bounced_at: bounce.bouncedAt,
    addresses: bounce.addresses,
    origin: { from, to, cc, bcc, subject, mime_id: mimeId, sent_at: sentAt },
  };
  return { app, trigger: 'message.bounce_detected', messageId, sequence: null, detail, linkCounts: null, happenedAt };
}

/** What `bounceFact` told, read back from the database. Null for anything else. */
export function readBounceDetail(stored: unknown): BounceDetail | null {
  if (!isObject(stored)) return null;
  const { provider, reason, type, code, bounced_at: bouncedAt, addresses } = stored;
  const origin = readOrigin(stored.origin);
  if (typeof provider !== 'string' || typeof reason !== 'string' || typeof type !== 'string') return null;
  if (typeof code !== 'string' || typeof bouncedAt !== 'number' || !isTexts(addresses) || origin === null) return null;
  return { provider, reason, type, code, bouncedAt, addresses, origin };
}

function readOrigin(stored: unknown): BounceDetail['origin'] | null {
  if (!isObject(stored)) return null;
  const { from, to, cc, bcc, subject, mime_id: mimeId, sent_at: sentAt } = stored;
  if (typeof from !== 'string' || !isTexts(to) || !isTexts(cc) || !isTexts(bcc)) return null;
  if (typeof subject !== 'string' || typeof mimeId !== 'string' || typeof sentAt !== 'number') return null;
  return { from, to, cc, bcc, subject, mimeId, sentAt };
}
