// How long a mailbox that could not be read is left in peace.

/** A connection that lived so long was a good one: what ended it is nothing to do with those before. */
export const GOOD_LIFE_MS = 60_000;

const FIRST_MS = 1_000;
const LONGEST_MS = 5 * 60_000;
const LONGEST_ASKED_MS = 60 * 60_000;
/** Of a server that cut all its connections at once, so that they do not come back at once. */
const SPREAD_MS = 5_000;

/**
 * Milliseconds to wait after so many failures in a row; 0: the connection had been good. Anything up to the doubled time
 * ("full jitter"): mailboxes that failed together come back apart. What a server asks for is kept to, up to an hour.
 * `random` is of [0, 1).
 */
export function backOff(failures: number, random: number, retryAfterSeconds = 0): number {
  const most = failures === 0 ? SPREAD_MS : Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 20));
  const asked = Number.isFinite(retryAfterSeconds) ? Math.max(0, retryAfterSeconds) * 1000 : 0;
  return Math.min(LONGEST_ASKED_MS, asked) + most * random;
}
