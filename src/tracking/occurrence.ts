import type { FactDetail } from '../db/outbox.ts';

export type Trigger = 'message.opened' | 'message.link_clicked' | 'thread.replied';

/** Something that happened to a message, about to be recorded. */
export interface Occurrence {
  readonly id: string;
  /** Another id under which this same occurrence may already lie in `events`, else null. */
  readonly otherId: string | null;
  readonly app: number;
  /** Grant serial. */
  readonly grant: number;
  readonly message: string;
  readonly trigger: Trigger;
  /** For clicks alone. */
  readonly link: number | null;
  readonly at: Date;
  readonly ip: string;
  readonly userAgent: string;
  readonly class: string;
  readonly reasons: readonly string[];
  /** False: kept, but it gets no sequence and no fact. */
  readonly counts: boolean;
  /** Goes with the fact. */
  readonly detail?: FactDetail;
}
