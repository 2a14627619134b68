import type { FetchOutcome } from '../safe-fetch.ts';

export const DESTINATION_KINDS = ['webhook', 'pubsub'] as const;

export type DestinationKind = (typeof DESTINATION_KINDS)[number];

/** What a notification is about, for far ends that sort by it. */
export interface About {
  /** The payload's `type`. */
  readonly trigger: string;
  readonly applicationId: string;
  readonly grantId: string;
  /** In its wire form; null where it is not about a message. */
  readonly messageId: string | null;
}

/** One try to hand a notification over. */
export interface Parcel {
  /** Where to, as its owner wrote it: a URL or a topic. */
  readonly address: string;
  /** Newest first; two for a day after a rotation, none for a topic. */
  readonly secrets: readonly string[];
  /** The notification's wire id. */
  readonly id: string;
  /** Compact JSON. */
  readonly body: Buffer;
  readonly compressed: boolean;
  /** Unix milliseconds. */
  readonly sentAt: number;
  readonly about: About;
  /** Called as it leaves for the far end, by a destination that can tell. */
  readonly onLeaving?: () => void;
}

export interface Outcome {
  /** Nothing was sent: `gone` when what it tells of was erased or pruned, `unrenderable` when we failed to make it. */
  readonly kind: FetchOutcome['kind'] | 'gone' | 'unrenderable';
  readonly status: number | null;
  /** The first bytes of the answer, or why there was none: for people. */
  readonly answer: string;
  /** As the receiver wrote it. */
  readonly retryAfter: string | null;
  /** Any other notification would get the same answer: the address leads nowhere, or does not take ours. */
  readonly isAboutAddress?: boolean;
}

export type AddressCheck = { readonly normal: string } | { readonly problem: string };

/** A way for notifications to leave. */
export interface Destination {
  /** Judges the form alone. `normal` is the same for two spellings of one address; `problem` continues "the address …". */
  check(address: string): AddressCheck;
  /** Asks the far end whether it wants our deliveries. Null where it does, else why not, as the API says it. Never rejects. */
  verify(address: string): Promise<string | null>;
  /** Never rejects, and ends within its own deadline. */
  attempt(parcel: Parcel): Promise<Outcome>;
}

export type Destinations = Readonly<Record<DestinationKind, Destination>>;

/** As deliveries keep it: PostgreSQL's text takes no NUL. */
export function toOutcome(outcome: FetchOutcome): Outcome {
  if ('detail' in outcome) return { kind: outcome.kind, status: null, answer: outcome.detail, retryAfter: null };
  const { kind, status, body, retryAfter } = outcome;
  return { kind, status, answer: body.replaceAll('\u0000', ''), retryAfter };
}
