import type { FetchOutcome } from '../safe-fetch.ts';

export const DESTINATION_KINDS = ['webhook'] as const;

export type DestinationKind = (typeof DESTINATION_KINDS)[number];

/** One try to hand a notification over. */
export interface Parcel {
  /** Where to: a URL as its owner wrote it. */
  readonly address: string;
  readonly secret: string;
  /** The notification's wire id. */
  readonly id: string;
  /** Compact JSON. */
  readonly body: Buffer;
  readonly compressed: boolean;
  /** Unix milliseconds. */
  readonly sentAt: number;
}

export interface Outcome {
  /** Nothing was sent: `gone` when what it tells of was erased or pruned, `unrenderable` when we failed to make it. */
  readonly kind: FetchOutcome['kind'] | 'gone' | 'unrenderable';
  readonly status: number | null;
  /** The first bytes of the answer, or why there was none: for people. */
  readonly answer: string;
  /** As the receiver wrote it. */
  readonly retryAfter: string | null;
}

/** A way for notifications to leave. Never rejects, and ends within its own deadline. */
export interface Destination {
  attempt(parcel: Parcel): Promise<Outcome>;
}

export type Destinations = Readonly<Record<DestinationKind, Destination>>;
