import { UnreadableMail } from './mail-bytes.ts';
import type { PracticeStore } from './practice-store.ts';
import { contentOf, practiceWatch } from './practice-watch.ts';
import type { CheckOutcome, CopyOutcome, FindOutcome, PracticeCredentials, Provider, SendOutcome } from './provider.ts';
import type { MailContent, ReadOutcome, WatchOutcome } from './watch.ts';

/** What is sent lies in the folder already. */
const keepsItsOwn = {
  wantsCopy: () => false,
  keepCopy: async (): Promise<CopyOutcome> => ({ kind: 'there' }),
};

/** Accepts every recipient and delivers nothing outside. */
export function practiceProvider(
  store: PracticeStore,
  times: { readonly lookMs?: number } = {},
): Provider<PracticeCredentials> {
  return {
    async check(account, { credentials }, signal): Promise<CheckOutcome> {
      if (signal.aborted) return problem('unreachable', TOO_LATE);
      return (await store.opens(account, credentials.key)) ? { kind: 'works' } : problem('unauthorised', CLOSED);
    },

    async send(account, { credentials }, mail, signal): Promise<SendOutcome> {
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      if (!(await store.opens(account, credentials.key))) return { kind: 'unauthorised', reason: CLOSED };
      // Asked once more: the mailbox was reached, but nothing has been given to it yet.
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      try {
        const providerMessageId = await store.keepSent(account, mail);
        return { kind: 'sent', messageId: mail.messageId, providerMessageId, refused: [] };
      } catch (error) {
        return unread(error);
      }
    },

    async findSent(account, { credentials }, messageId, signal): Promise<FindOutcome> {
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      if (!(await store.opens(account, credentials.key))) return { kind: 'unauthorised', reason: CLOSED };
      const id = await store.findSent(account, messageId);
      return id === null ? { kind: 'absent' } : { kind: 'found', messageId, providerMessageId: id };
    },

    ...keepsItsOwn,

    wantsDrafts: () => true,

    async keepDraft(account, { credentials }, draft, signal): Promise<CopyOutcome> {
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      if (!(await store.opens(account, credentials.key))) return { kind: 'unauthorised', reason: CLOSED };
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      try {
        return { kind: (await store.keepDraft(account, draft)) ? 'kept' : 'there' };
      } catch (error) {
        return unread(error);
      }
    },

    async watch(account, { credentials }, order, signal): Promise<WatchOutcome> {
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      const { key } = credentials;
      if (!(await store.opens(account, key))) return { kind: 'unauthorised', reason: CLOSED };
      const since = order.since.getTime();
      return { kind: 'open', mailbox: practiceWatch({ store, account, key, since, closed: CLOSED, ...times }) };
    },

    async read(account, { credentials }, wanted, signal): Promise<ReadOutcome> {
      if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
      if (!(await store.opens(account, credentials.key))) return { kind: 'unauthorised', reason: CLOSED };
      const mails: (MailContent | null)[] = [];
      for (const { place, messageId, withBody } of wanted) {
        if (signal.aborted) return { kind: 'unreachable', reason: TOO_LATE };
        const found = await store.read(account, place, messageId);
        mails.push(found === null ? null : contentOf(found, withBody));
      }
      return { kind: 'read', mails };
    },
  };
}

/** For an installation without a practice mailbox: its grants are still there, and nothing may seem to be sent from them. */
export const practiceSwitchedOff: Provider<PracticeCredentials> = {
  check: async () => problem('unreachable', OFF),
  send: async () => ({ kind: 'failed', reason: OFF }),
  findSent: async () => ({ kind: 'unreachable', reason: OFF }),
  watch: async () => ({ kind: 'unreachable', reason: OFF }),
  read: async () => ({ kind: 'unreachable', reason: OFF }),
  ...keepsItsOwn,
  wantsDrafts: () => false,
  keepDraft: async () => ({ kind: 'refused', reason: OFF }),
};

function unread(error: unknown): { readonly kind: 'unreachable'; readonly reason: string } {
  if (error instanceof UnreadableMail) return { kind: 'unreachable', reason: UNREAD };
  throw error;
}

function problem(kind: 'unauthorised' | 'unreachable', reason: string): CheckOutcome {
  return { kind: 'problems', problems: [{ at: '', kind, reason }] };
}

const OFF = 'the practice mailbox is switched off (TELLTALE_PRACTICE)';
const UNREAD = 'the mail could not be read to its end';
const TOO_LATE = 'the time for this call was over';
const CLOSED = 'the practice mailbox does not open for these credentials';
