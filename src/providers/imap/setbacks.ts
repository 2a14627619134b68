// Mails that a server does not give, or over which connections break. One would otherwise keep its mailbox from being read.

export interface Setbacks {
  /** How many mails to ask for at once, from this UID on; 0: pass over this one. */
  most(folder: string, first: number): number;
  /** Nothing was given when these were asked for. */
  failed(folder: string, uids: readonly number[]): void;
  passed(folder: string, uids: readonly number[]): void;
}

interface Setback {
  /** The last UID of those that were asked for. */
  readonly until: number;
  readonly most: number;
  /** How often that one was asked for alone, and since when; Unix milliseconds. */
  readonly alone: number;
  readonly since: number;
}

export const MOST_AT_ONCE = 1000;
const SMALLER = 8;
/** Often enough, and for so long, that a bad network or disk is hardly the reason. */
const MOST_ALONE = 4;
const MOST_KEPT = 10_000;

/** Kept over connections; folders by any name that is theirs alone. */
export function makeSetbacks(patienceMs: number): Setbacks {
  const kept = new Map<string, Setback>();
  return {
    most(folder, first) {
      const setback = kept.get(folder);
      if (setback === undefined || first > setback.until) return MOST_AT_ONCE;
      const isGivenUp = setback.alone >= MOST_ALONE && Date.now() - setback.since >= patienceMs;
      return isGivenUp && first === setback.until ? 0 : setback.most;
    },
    failed(folder, uids) {
      const [before, until] = [kept.get(folder), uids.at(-1) ?? 0];
      const isSame = uids.length === 1 && before?.until === until && before.alone > 0;
      const alone = uids.length > 1 ? 0 : 1 + (isSame ? before.alone : 0);
      const since = isSame ? before.since : Date.now();
      kept.delete(folder);
      kept.set(folder, { until, most: Math.ceil(uids.length / SMALLER), alone, since });
      const [oldest] = kept.keys();
      if (kept.size > MOST_KEPT && oldest !== undefined) kept.delete(oldest);
    },
    passed(folder, uids) {
      const setback = kept.get(folder);
      if (setback !== undefined && (uids.at(-1) ?? 0) >= setback.until) kept.delete(folder);
    },
  };
}
