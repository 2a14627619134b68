/** What acting for a grant takes, by provider; kept sealed by the vault. A new provider adds its line here. */
export interface CredentialsOf {
  readonly practice: PracticeCredentials;
}

export interface PracticeCredentials {
  readonly provider: 'practice';
  /** Opens the practice mailbox; a new one is made whenever the grant is authenticated. */
  readonly key: string;
}

export type ProviderKind = keyof CredentialsOf;
export type Credentials = CredentialsOf[ProviderKind];

/** For whom a provider acts. */
export interface Account {
  readonly app: number;
  readonly grantId: string;
  readonly email: string;
}

export interface OutgoingMail {
  readonly envelope: { readonly from: string; readonly to: readonly string[] };
  /** The Message-ID header, angle brackets included. */
  readonly messageId: string;
  /** The whole mail, CRLF line ends, without Bcc. */
  readonly raw: Buffer;
}

export interface RefusedRecipient {
  readonly address: string;
  readonly reason: string;
}

/**
 * How handing over a mail ended. `reason` is for people: short, without credentials.
 * Only `unknown` leaves open whether the mail went out; every other failure means it did not.
 */
export type SendOutcome<C = Credentials> =
  | {
      readonly kind: 'sent';
      /** The Message-ID it really left with; some providers set their own. */
      readonly messageId: string;
      readonly providerMessageId?: string;
      /** Recipients the provider would not take; the others got it. */
      readonly refused: readonly RefusedRecipient[];
      /** Given when the provider renewed them on the way. */
      readonly renewed?: C;
    }
  | { readonly kind: 'unauthorised'; readonly reason: string }
  | { readonly kind: 'rejected'; readonly reason: string; readonly refused: readonly RefusedRecipient[] }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'throttled'; readonly reason: string; readonly retryAfterSeconds?: number }
  | { readonly kind: 'unreachable'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

/** `absent`: the provider is certain it never took the mail. `unsure`: not to be seen, though it may have gone out. */
export type FindOutcome =
  | { readonly kind: 'found'; readonly messageId: string; readonly providerMessageId?: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unsure' }
  | { readonly kind: 'unauthorised'; readonly reason: string }
  | { readonly kind: 'unreachable'; readonly reason: string };

/**
 * Transport to one kind of mailbox. Never sees the database: credentials come in, renewed ones go out.
 * Expected failures are outcomes; only bugs throw. When `signal` aborts the call settles soon, as `unreachable`
 * or, once the mail had been given, as `unknown`.
 */
export interface Provider<C> {
  send(account: Account, credentials: C, mail: OutgoingMail, signal: AbortSignal): Promise<SendOutcome<C>>;
  /** Looks for a mail whose sending ended as `unknown`. */
  findSent(account: Account, credentials: C, messageId: string, signal: AbortSignal): Promise<FindOutcome>;
}

export type Providers = { readonly [Kind in ProviderKind]: Provider<CredentialsOf[Kind]> };
