import type {
  Access,
  Account,
  CheckOutcome,
  CopyOutcome,
  Credentials,
  DraftCopy,
  FindOutcome,
  ImapCredentials,
  OutgoingMail,
  PracticeCredentials,
  Provider,
  Providers,
  SendOutcome,
  SentCopy,
} from './provider.ts';
import type { ReadOutcome, WantedMail, WatchOrder, WatchOutcome } from './watch.ts';

/** A provider together with whom it acts for; what the methods mean stands at {@link Provider}. */
export interface Mailbox {
  check(signal: AbortSignal): Promise<CheckOutcome>;
  send(mail: OutgoingMail, signal: AbortSignal): Promise<SendOutcome>;
  findSent(messageId: string, signal: AbortSignal): Promise<FindOutcome>;
  wantsCopy(): boolean;
  keepCopy(copy: SentCopy, signal: AbortSignal): Promise<CopyOutcome>;
  wantsDrafts(): boolean;
  keepDraft(draft: DraftCopy, signal: AbortSignal): Promise<CopyOutcome>;
  watch(order: WatchOrder, signal: AbortSignal): Promise<WatchOutcome>;
  read(wanted: readonly WantedMail[], signal: AbortSignal): Promise<ReadOutcome>;
}

export function mailboxOf(providers: Providers, account: Account, access: Access<Credentials>): Mailbox {
  const { credentials } = access;
  switch (credentials.provider) {
    case 'practice':
      return bound(providers.practice, account, narrowed(access, credentials, isPractice));
    case 'imap':
      return bound(providers.imap, account, narrowed(access, credentials, isImap));
  }
}

function isPractice(credentials: Credentials): credentials is PracticeCredentials {
  return credentials.provider === 'practice';
}

function isImap(credentials: Credentials): credentials is ImapCredentials {
  return credentials.provider === 'imap';
}

/** Credentials for another provider are none to this one. */
function narrowed<C extends Credentials>(
  access: Access<Credentials>,
  credentials: C,
  isMine: (kept: Credentials) => kept is C,
): Access<C> {
  return {
    credentials,
    keep: (before, renewed) => access.keep(before, renewed),
    async reread() {
      const kept = await access.reread();
      return kept !== null && isMine(kept) ? kept : null;
    },
  };
}

function bound<C extends Credentials>(provider: Provider<C>, account: Account, access: Access<C>): Mailbox {
  return {
    check: (signal) => provider.check(account, access, signal),
    send: (mail, signal) => provider.send(account, access, mail, signal),
    findSent: (messageId, signal) => provider.findSent(account, access, messageId, signal),
    wantsCopy: () => provider.wantsCopy(access.credentials),
    keepCopy: (copy, signal) => provider.keepCopy(account, access, copy, signal),
    wantsDrafts: () => provider.wantsDrafts(access.credentials),
    keepDraft: (draft, signal) => provider.keepDraft(account, access, draft, signal),
    watch: (order, signal) => provider.watch(account, access, order, signal),
    read: (wanted, signal) => provider.read(account, access, wanted, signal),
  };
}
