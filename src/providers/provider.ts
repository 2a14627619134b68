import type { MailBytes } from './mail-bytes.ts';
import type { ReadOutcome, WantedMail, WatchOrder, WatchOutcome } from './watch.ts';

/** What acting for a grant takes, by provider; kept sealed by the vault. A new provider adds its line here. */
export interface CredentialsOf {
  readonly practice: PracticeCredentials;
  readonly imap: ImapCredentials;
}

export interface PracticeCredentials {
  readonly provider: 'practice';
  /** Opens the practice mailbox; a new one is made whenever the grant is authenticated. */
  readonly key: string;
}

/** A mailbox of any mail server. */
export interface ImapCredentials {
  readonly provider: 'imap';
  readonly smtp: MailServer;
  /** Null: the grant can only send. */
  readonly imap: MailServer | null;
  /** Instead of the servers' passwords: XOAUTH2 with an access token got from here. */
  readonly oauth?: OAuthLogin;
}

export interface MailServer {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte on, or STARTTLS before anything secret is said. */
  readonly security: 'tls' | 'starttls';
  readonly user: string;
  /** Absent with `oauth`. */
  readonly password?: string;
}

export interface OAuthLogin {
  readonly tokenUrl: string;
  readonly clientId: string;
  /** '' for a public client. */
  readonly clientSecret: string;
  readonly refreshToken: string;
  /** The newest one that was handed out, '' for none yet. */
  readonly accessToken: string;
  /** Unix milliseconds. */
  readonly expiresAt: number;
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
  readonly raw: MailBytes;
}

/** A mail as the sender may see it: without pixel, with the links as they were written. */
export interface SentCopy {
  readonly messageId: string;
  readonly raw: MailBytes;
}

/** A draft as it is to stand in the mailbox. */
export interface DraftCopy {
  /** A UUID: the Message-IDs of its versions, and of no other mails, begin with it and a dot. */
  readonly draft: string;
  /** Null: it is to leave the mailbox. */
  readonly version: { readonly messageId: string; readonly raw: MailBytes } | null;
}

export interface RefusedRecipient {
  readonly address: string;
  readonly reason: string;
}

/**
 * Credentials together with the place that keeps them. A refresh token that is good for one exchange is lost for
 * everybody with the credentials it was exchanged for, so these are kept before they are used.
 */
export interface Access<C> {
  readonly credentials: C;
  /**
   * Keeps what a refresh token was exchanged for, wherever the refresh token of `before` is still the one that is kept.
   * Called also when the call itself has ended meanwhile. Never rejects.
   */
  keep(before: C, renewed: C): Promise<void>;
  /** What is kept now; null where nobody else could have put other credentials there, or there are none any more. */
  reread(): Promise<C | null>;
}

/**
 * How handing over a mail ended. `reason` is for people: short, without credentials.
 * Only `unknown` leaves open whether the mail went out; every other failure means it did not.
 */
export type SendOutcome =
  | {
      readonly kind: 'sent';
      /** The Message-ID it really left with; some providers set their own. */
      readonly messageId: string;
      readonly providerMessageId?: string;
      /** Recipients the provider would not take; the others got it. */
      readonly refused: readonly RefusedRecipient[];
    }
  | { readonly kind: 'unauthorised'; readonly reason: string }
  | { readonly kind: 'rejected'; readonly reason: string; readonly refused: readonly RefusedRecipient[] }
  | { readonly kind: 'failed'; readonly reason: string }
  /** Too much was asked of it for now. */
  | { readonly kind: 'throttled'; readonly reason: string; readonly retryAfterSeconds?: number }
  /** It answered that it cannot now, and might later. */
  | { readonly kind: 'deferred'; readonly reason: string }
  | { readonly kind: 'unreachable'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

/** `absent`: the provider is certain it never took the mail. `unsure`: not to be seen, though it may have gone out. */
export type FindOutcome =
  | { readonly kind: 'found'; readonly messageId: string; readonly providerMessageId?: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unsure' }
  | { readonly kind: 'unauthorised'; readonly reason: string }
  | { readonly kind: 'unreachable'; readonly reason: string };

/** `there`: the server keeps or kept one itself. `refused` will not change; `full`, `unreachable` may. */
export type CopyOutcome =
  | { readonly kind: 'kept' }
  | { readonly kind: 'there' }
  | { readonly kind: 'full'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unauthorised'; readonly reason: string }
  | { readonly kind: 'unreachable'; readonly reason: string };

/** Why credentials do not work, by the server that says so; `at` is '' where there is only one. */
export interface CheckProblem {
  readonly at: '' | 'smtp' | 'imap' | 'oauth';
  /** `certificate`: the server's certificate is not trusted. `blocked`: its address may not be reached from here. */
  readonly kind: 'unauthorised' | 'unreachable' | 'certificate' | 'blocked' | 'unusable';
  readonly reason: string;
}

export type CheckOutcome =
  | { readonly kind: 'works' }
  | { readonly kind: 'problems'; readonly problems: readonly [CheckProblem, ...CheckProblem[]] };

/**
 * Transport to one kind of mailbox. Never sees the database: what it renews goes to where the credentials came from.
 * Expected failures are outcomes; only bugs throw. When `signal` aborts the call settles soon, as `unreachable`
 * or, once the mail had been given, as `unknown`.
 */
export interface Provider<C> {
  /** Tries the credentials wherever they will be used; sends nothing. */
  check(account: Account, access: Access<C>, signal: AbortSignal): Promise<CheckOutcome>;
  send(account: Account, access: Access<C>, mail: OutgoingMail, signal: AbortSignal): Promise<SendOutcome>;
  /** Looks for a mail whose sending ended as `unknown`. */
  findSent(account: Account, access: Access<C>, messageId: string, signal: AbortSignal): Promise<FindOutcome>;
  /** Whether the copy in Sent is left to us. */
  wantsCopy(credentials: C): boolean;
  /** Puts a copy into Sent, unless the server turns out to have kept one. May be called again after any outcome. */
  keepCopy(account: Account, access: Access<C>, copy: SentCopy, signal: AbortSignal): Promise<CopyOutcome>;
  /** Whether drafts can stand in the mailbox. */
  wantsDrafts(credentials: C): boolean;
  /**
   * Makes this version the only one of the draft in the Drafts folder, or takes all of them out; mails that only quote its
   * Message-ID stay. `there`: nothing was to be done. May be called again after any outcome.
   */
  keepDraft(account: Account, access: Access<C>, draft: DraftCopy, signal: AbortSignal): Promise<CopyOutcome>;
  /** Opens the mailbox to be watched until it is closed; `signal` ends the opening alone. */
  watch(account: Account, access: Access<C>, order: WatchOrder, signal: AbortSignal): Promise<WatchOutcome>;
  /** Reads mails of the mailbox; marks nothing as read. */
  read(account: Account, access: Access<C>, wanted: readonly WantedMail[], signal: AbortSignal): Promise<ReadOutcome>;
}

export type Providers = { readonly [Kind in ProviderKind]: Provider<CredentialsOf[Kind]> };
