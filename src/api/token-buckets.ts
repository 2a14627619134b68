export interface TokenBuckets {
  /** Milliseconds until this one has a token; 0 where it has one now. */
  wait(name: string): number;
  /** Whether or not there is one. */
  take(name: string): void;
}

export interface TokenBucketsOptions {
  /** How many tokens a bucket gets in a second, which is also how many it holds. */
  readonly perSecond: number;
  /** So many buckets are remembered, and at most twice as many; beyond it what is known of the others is forgotten. */
  readonly most: number;
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
}

interface Bucket {
  readonly tokens: number;
  readonly at: number;
}

/** A bucket of which nothing was taken for a second is full, so only the buckets of the last seconds are remembered. */
export function makeTokenBuckets({ perSecond, most, now }: TokenBucketsOptions): TokenBuckets {
  let recent = new Map<string, Bucket>();
  let older = new Map<string, Bucket>();
  let turnedAt = now();

  const turn = (at: number): void => {
    if (at - turnedAt < SECOND_MS && recent.size < most) return;
    older = recent;
    recent = new Map();
    turnedAt = at;
  };
  const tokensAt = (name: string, at: number): number => {
    const bucket = recent.get(name) ?? older.get(name);
    if (bucket === undefined) return perSecond;
    return Math.min(perSecond, bucket.tokens + ((at - bucket.at) * perSecond) / SECOND_MS);
  };
  return {
    wait(name) {
      const missing = 1 - tokensAt(name, now());
      return missing <= 0 ? 0 : (missing * SECOND_MS) / perSecond;
    },
    take(name) {
      const at = now();
      turn(at);
      recent.set(name, { tokens: Math.max(0, tokensAt(name, at) - 1), at });
    },
  };
}

const SECOND_MS = 1000;
