import type { Account, FindOutcome, OutgoingMail, PracticeCredentials, Provider, SendOutcome } from './provider.ts';

/** Where practice mail is kept; the database stays on its other side. */
export interface PracticeStore {
  /** Whether `key` opens the mailbox of this account now: false once the grant expired, was deleted or got a new key. */
  opens(account: Account, key: string): Promise<boolean>;
  /** Keeps a sent mail and returns its id. */
  keepSent(account: Account, mail: OutgoingMail): Promise<string>;
  /** The id of a kept sent mail, or null. */
  findSent(account: Account, messageId: string): Promise<string | null>;
}

/** Accepts every recipient and delivers nothing outside. */
export function practiceProvider(store: PracticeStore): Provider<PracticeCredentials> {
  return {
    async send(account, credentials, mail, signal): Promise<SendOutcome<PracticeCredentials>> {
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      if (!(await store.opens(account, credentials.key))) return { kind: 'unauthorised', reason: CLOSED };
      // Asked once more: the mailbox was reached, but nothing has been given to it yet.
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      const providerMessageId = await store.keepSent(account, mail);
      return { kind: 'sent', messageId: mail.messageId, providerMessageId, refused: [] };
    },

    async findSent(account, credentials, messageId, signal): Promise<FindOutcome> {
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      if (!(await store.opens(account, credentials.key))) return { kind: 'unauthorised', reason: CLOSED };
      const id = await store.findSent(account, messageId);
      return id === null ? { kind: 'absent' } : { kind: 'found', messageId, providerMessageId: id };
    },
  };
}

/** For an installation without a practice mailbox: its grants are still there, and nothing may seem to be sent from them. */
export const practiceSwitchedOff: Provider<PracticeCredentials> = {
  send: async () => ({ kind: 'failed', reason: OFF }),
  findSent: async () => ({ kind: 'unreachable', reason: OFF }),
};

const OFF = 'the practice mailbox is switched off (TELLTALE_PRACTICE)';
const TOO_LATE = 'the time for this call was over';
const CLOSED = 'the practice mailbox does not open for these credentials';
