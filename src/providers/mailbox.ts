import type {
  Account,
  CheckOutcome,
  CopyOutcome,
  Credentials,
  FindOutcome,
  OutgoingMail,
  Provider,
  Providers,
  SendOutcome,
  SentCopy,
} from './provider.ts';

/** A provider together with whom it acts for; what the methods mean stands at {@link Provider}. */
export interface Mailbox {
  check(signal: AbortSignal): Promise<CheckOutcome>;
  send(mail: OutgoingMail, signal: AbortSignal): Promise<SendOutcome>;
  findSent(messageId: string, signal: AbortSignal): Promise<FindOutcome>;
  wantsCopy(): boolean;
  keepCopy(copy: SentCopy, signal: AbortSignal): Promise<CopyOutcome>;
}

export function mailboxOf(providers: Providers, account: Account, credentials: Credentials): Mailbox {
  switch (credentials.provider) {
    case 'practice':
      return bound(providers.practice, account, credentials);
    case 'imap':
      return bound(providers.imap, account, credentials);
  }
}

function bound<C extends Credentials>(provider: Provider<C>, account: Account, credentials: C): Mailbox {
  return {
    check: (signal) => provider.check(account, credentials, signal),
    send: (mail, signal) => provider.send(account, credentials, mail, signal),
    findSent: (messageId, signal) => provider.findSent(account, credentials, messageId, signal),
    wantsCopy: () => provider.wantsCopy(credentials),
    keepCopy: (copy, signal) => provider.keepCopy(account, credentials, copy, signal),
  };
}
