import type { Attachment, Header, Person } from './compose.ts';

export interface Tracking {
  readonly opens: boolean;
  readonly links: boolean;
  readonly threadReplies: boolean;
  readonly label: string;
}

/** A mail as its author asks for it; addresses, header names and attachments are already checked. */
export interface Outgoing {
  /** Null: the grant's own address and name. */
  readonly from: Person | null;
  readonly to: readonly Person[];
  readonly cc: readonly Person[];
  readonly bcc: readonly Person[];
  readonly replyTo: readonly Person[];
  readonly subject: string;
  readonly body: string;
  readonly isPlaintext: boolean;
  /** Our id, a provider's id or a Message-ID (D27); '' for none. */
  readonly replyToMessageId: string;
  readonly customHeaders: readonly Header[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly attachments: readonly Attachment[];
  readonly tracking: Tracking;
}

/** What of the request could not be done, told beside a mail that was sent. */
export interface Warning {
  readonly type: string;
  readonly message: string;
}
