import type { Outcome } from './destination.ts';
import { retryAfterMs } from './retry.ts';

/** How a destination may be served; kept in memory, learnt anew by each process. */
export interface Pace {
  /** Attempts at once. */
  readonly window: number;
  readonly failuresInRow: number;
  /** Unix milliseconds before which nothing is tried, 0 for none. */
  readonly notBefore: number;
  /** Whether its last attempt took less than {@link PROMPT_MS}, whatever came of it. */
  readonly isPrompt: boolean;
}

export const MOST_AT_ONCE = 16;
const AT_HAND = 3 * MOST_AT_ONCE;
export const PROMPT_MS = 500;
const START = 4;
// Fewer could be one notification the receiver cannot stomach; more would let a dead receiver hold connections.
const DOWN_AFTER = 4;
const FIRST_PROBE_MS = 1_000;
const LAST_PROBE_MS = 60_000;

export const FRESH: Pace = { window: START, failuresInRow: 0, notBefore: 0, isPrompt: true };
/** What failed when it was last tried, by another process or in another life of this one. */
export const SUSPECT: Pace = { window: 1, failuresInRow: DOWN_AFTER - 1, notBefore: 0, isPrompt: false };

export interface Ended {
  readonly outcome: Pick<Outcome, 'kind' | 'status' | 'retryAfter' | 'isAboutAddress'>;
  readonly durationMs: number;
  /** Unix milliseconds. */
  readonly now: number;
}

/**
 * A destination that answers widens its window; one that is down is probed by its head alone, ever more rarely. One that
 * asks to be left alone for a while is, with all that waits for it.
 */
export function paceAfter(pace: Pace, { outcome, durationMs, now }: Ended): Pace {
  if (outcome.kind === 'unrenderable' || outcome.kind === 'gone') return pace; // it was not even asked
  const isPrompt = durationMs < PROMPT_MS;
  if (!isDestinationAtFault(outcome)) {
    return { window: Math.min(pace.window * 2, MOST_AT_ONCE), failuresInRow: 0, notBefore: 0, isPrompt };
  }
  if (now < pace.notBefore) return pace; // began before the wait that is already running
  const failuresInRow = pace.failuresInRow + 1;
  const asked = retryAfterMs(outcome.retryAfter, now);
  if (failuresInRow < DOWN_AFTER) {
    const notBefore = asked === 0 ? 0 : now + asked;
    return { window: Math.max(1, pace.window >> 1), failuresInRow, notBefore, isPrompt };
  }
  const wait = Math.min(FIRST_PROBE_MS * 2 ** Math.min(failuresInRow - DOWN_AFTER, 10), LAST_PROBE_MS);
  return { window: 1, failuresInRow, notBefore: now + Math.max(wait, asked), isPrompt };
}

/** Somebody says that it is up again: it is probed at once, and is down as before where it is not. */
export function withoutWait(pace: Pace): Pace {
  return { ...pace, window: 1, notBefore: 0 };
}

/** How many more deliveries may be claimed now. */
export function roomFor(pace: Pace, claimed: number, now: number): number {
  return now < pace.notBefore ? 0 : Math.max(0, roomOf(pace) - claimed);
}

/** Claimed at once: one that is served at its widest has more at hand, so that claims come by the dozen and hold up nothing. */
export function roomOf({ window, isPrompt }: Pace): number {
  return isPrompt && window === MOST_AT_ONCE ? window + AT_HAND : window;
}

/** Served as if nothing was known of it: when it is idle, it need not be remembered. */
export function isUnremarkable(pace: Pace): boolean {
  return pace.isPrompt && pace.failuresInRow === 0 && pace.window >= START;
}

/** A 4xx is about the notification, the receiver is up and speaks; unless it says that the address is none. */
function isDestinationAtFault({ status, isAboutAddress }: Pick<Outcome, 'status' | 'isAboutAddress'>): boolean {
  return status === null || status >= 500 || status === 429 || status === 408 || isAboutAddress === true;
}
