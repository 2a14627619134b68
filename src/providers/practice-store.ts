import type { Account, DraftCopy, OutgoingMail } from './provider.ts';

/** A mail that was sent from or received by a practice mailbox; drafts are none. */
export interface PracticeKept {
  /** UUIDv7. */
  readonly id: string;
  readonly folder: 'INBOX' | 'SENT';
  readonly receivedAt: Date;
  /** Bytes. */
  readonly size: number;
}

/** Where practice mail is kept; the database stays on its other side. */
export interface PracticeStore {
  /** Whether `key` opens the mailbox of this account now: false once the grant expired, was deleted or got a new key. */
  opens(account: Account, key: string): Promise<boolean>;
  /** Keeps a sent mail and returns its id. Throws `UnreadableMail`, and has kept nothing then. */
  keepSent(account: Account, mail: OutgoingMail): Promise<string>;
  /** Makes this version the only one of the draft, or removes all; false where nothing was to be done. Throws as above. */
  keepDraft(account: Account, draft: DraftCopy): Promise<boolean>;
  /** The id of a kept sent mail, or null. */
  findSent(account: Account, messageId: string): Promise<string | null>;
  /**
   * At most `limit` mails whose ids are of the millisecond `after` or later and not among `given`, by id, each with its
   * header block: at most 64 kB of it.
   */
  later(
    account: Account,
    after: number,
    given: readonly string[],
    limit: number,
  ): Promise<readonly (PracticeKept & { readonly head: Buffer })[]>;
  /** By id; those that have gone are missing. */
  beginnings(account: Account, ids: readonly string[], most: number): Promise<ReadonlyMap<string, Buffer>>;
  /** The mail of this id or, where there is none, the newest with this Message-ID. */
  read(
    account: Account,
    id: string | null,
    messageId: string | null,
  ): Promise<(PracticeKept & { readonly raw: Buffer }) | null>;
  /** True once this process keeps a mail of the mailbox, false after `ms` or when `signal` aborts. */
  arrival(account: Account, ms: number, signal: AbortSignal): Promise<boolean>;
}
