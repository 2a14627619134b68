// How a mailbox is watched and read: what every kind of mailbox offers besides sending.

/** Where a mail lies, in words that only the provider which said it understands; another one once the mail is moved. */
export type Place = string;

/** How far a mailbox was read, in the provider's own form: kept as JSON, given back unchanged. */
export type Cursor = { readonly [name: string]: CursorValue };
export type CursorValue =
  | string
  | number
  | boolean
  | null
  | readonly CursorValue[]
  | { readonly [name: string]: CursorValue };

export interface MailParty {
  /** '' for none. */
  readonly name: string;
  readonly email: string;
}

/** The parts of a mail's head that say what it answers and who wrote it. All of it comes from strangers. */
export interface MailHead {
  /** With angle brackets; null where there is none that is well formed. */
  readonly messageId: string | null;
  /** With angle brackets. */
  readonly inReplyTo: readonly string[];
  /** With angle brackets, oldest first; of a long list both ends. */
  readonly references: readonly string[];
  readonly subject: string;
  readonly from: readonly MailParty[];
  readonly sender: readonly MailParty[];
  readonly to: readonly MailParty[];
  readonly cc: readonly MailParty[];
  readonly bcc: readonly MailParty[];
  readonly replyTo: readonly MailParty[];
  /** Its Date field; null where that cannot be read. */
  readonly writtenAt: Date | null;
  /** Fields in their order, names in lower case, values unfolded: at least {@link HEAD_FIELDS} where the mail has them. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/** A mail that was found in a watched mailbox. */
export interface FoundMail {
  readonly place: Place;
  /** As the API names it, such as `INBOX`. */
  readonly folder: string;
  /** Lies where the mailbox keeps what its owner sent. */
  readonly isSent: boolean;
  /** It came since the mailbox was last looked at; false for one that is only met again, or was moved. */
  readonly isNew: boolean;
  /** When the mailbox got it. */
  readonly receivedAt: Date;
  /** Bytes. */
  readonly size: number;
  /** The provider's own name for its thread; null where it has none. */
  readonly threadKey: string | null;
  readonly head: MailHead;
}

/** What is new, up to a thousand mails at once. */
export interface Page {
  readonly mails: readonly FoundMail[];
  /** To go on from, once these mails are dealt with. */
  readonly cursor: Cursor;
  /** Nothing more is there now. */
  readonly isLast: boolean;
  /** Mails that are passed over, because the server cannot say what is in them. */
  readonly skipped?: readonly Place[];
  /** Folders that the order names and that are not there; each is said once. */
  readonly missing?: readonly string[];
}

export interface WatchOrder {
  /** Folders to look at besides those every mailbox is watched in, by their paths; `*` for all that hold mail of others. */
  readonly folders: readonly string[];
  /** Where there is no cursor yet, mail that came before is passed over. */
  readonly since: Date;
}

/** Why a mailbox cannot be watched, now or any more. `reason` is for people: short, without credentials. */
export interface WatchProblem {
  readonly kind: 'unauthorised' | 'unreachable' | 'throttled';
  readonly reason: string;
  readonly retryAfterSeconds?: number;
}

/** What the calls of a {@link WatchedMailbox} reject with once it has to be opened anew. */
export class WatchBroken extends Error {
  readonly problem: WatchProblem;

  constructor(problem: WatchProblem) {
    super(problem.reason);
    this.name = 'WatchBroken';
    this.problem = problem;
  }
}

/** A mailbox that is open. Calls come one after the other; each rejects with {@link WatchBroken} and nothing else but bugs. */
export interface WatchedMailbox {
  /** What came after the cursor, oldest first in each folder. Null: nothing was read yet. */
  next(cursor: Cursor | null): Promise<Page>;
  /**
   * The first bytes of mails as they lie there, at most `most` of each; those that have gone are missing. Marks nothing
   * as read. One exchange with the server, however many they are.
   */
  beginnings(places: readonly Place[], most: number): Promise<ReadonlyMap<Place, Buffer>>;
  /** Null where it has gone. */
  read(place: Place): Promise<MailContent | null>;
  /** Resolves when there may be something new, at the latest after the time in which the provider looks by itself, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void>;
  /** Never rejects. */
  close(): Promise<void>;
}

export type WatchOutcome = { readonly kind: 'open'; readonly mailbox: WatchedMailbox } | WatchProblem;

/** A mail to be read: by its place, or, where it no longer lies there, by its Message-ID. */
export interface WantedMail {
  readonly place: Place | null;
  /** With angle brackets; null where it is not known. */
  readonly messageId: string | null;
  /** False: its head, flags and attachments are enough, and both bodies are null. */
  readonly withBody: boolean;
}

export interface MailContent {
  readonly place: Place;
  /** As the API names them. */
  readonly folders: readonly string[];
  readonly receivedAt: Date;
  readonly unread: boolean;
  readonly starred: boolean;
  readonly threadKey: string | null;
  readonly head: MailHead;
  /** Decoded; null where the mail has no such part, or it could not be read. At most {@link LONGEST_BODY} characters. */
  readonly html: string | null;
  readonly text: string | null;
  readonly attachments: readonly ContentAttachment[];
}

export interface ContentAttachment {
  /** Names it within the mail. */
  readonly part: string;
  readonly filename: string;
  readonly contentType: string;
  /** Bytes, decoded; on IMAP reckoned from the encoded size, a few bytes off. */
  readonly size: number;
  readonly isInline: boolean;
  /** Without angle brackets; null for none. */
  readonly contentId: string | null;
  readonly contentDisposition: string | null;
}

export type ReadOutcome =
  /** In the order asked for; null for one that is nowhere. */
  { readonly kind: 'read'; readonly mails: readonly (MailContent | null)[] } | WatchProblem;

export const LONGEST_BODY = 2_000_000;

/** The fields of a head that are read, besides those that name people. What they mean stands in RFC 5322, 3834, 3464 and 5436. */
export const HEAD_FIELDS: readonly string[] = [
  'date',
  'from',
  'sender',
  'reply-to',
  'to',
  'cc',
  'bcc',
  'subject',
  'message-id',
  'in-reply-to',
  'references',
  'content-type',
  'content-class',
  'return-path',
  'auto-submitted',
  'precedence',
  'list-id',
  'x-autoreply',
  'x-autorespond',
  'x-autoresponder',
  'x-auto-response-suppress',
  'x-mail-autoreply',
  'x-autogenerated',
  'x-vacation',
  'x-autoreply-from',
  'x-loop',
  'x-failed-recipients',
  'x-ms-exchange-inbox-rules-loop',
  'x-ms-exchange-generated-message-source',
  'x-fc-machinegenerated',
  'x-post-messageclass',
  'x-feedback-id',
  'feedback-id',
  'x-abuse-reports-to',
];
