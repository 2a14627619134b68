import type { Unrecorded } from '../tracking/spool.ts';

/** Plain numbers that only rise, moved on the hot path and read by the metrics. */
export interface EdgeCounters {
  /** Hits of genuine links and pixels, by kind; those in `unrecorded` are counted here too. */
  open: number;
  click: number;
  /** Tokens that are not ours. */
  forgedOpen: number;
  forgedClick: number;
  /** Hits of deleted grants, blocked messages and hosts: answered, never recorded. */
  stopped: number;
  /** Links whose destination had to be looked up, and the look-ups that gave no answer. */
  lookups: number;
  lookupsFailed: number;
  /** Hits answered without being on the disk. */
  unrecorded: Record<Unrecorded, number>;
}

export function newEdgeCounters(): EdgeCounters {
  return {
    open: 0,
    click: 0,
    forgedOpen: 0,
    forgedClick: 0,
    stopped: 0,
    lookups: 0,
    lookupsFailed: 0,
    unrecorded: { stalled: 0, disk_full: 0, disk_error: 0, shed: 0, overrun: 0 },
  };
}
