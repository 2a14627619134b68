// How long is waited for what others have promised.

/** Time limits and distances, in milliseconds. */
export interface WatchTimes {
  /** A node says that it lives. */
  readonly beatMs: number;
  /** One that has not said so for so long has died. */
  readonly deadMs: number;
  /** Mailboxes that nobody watches are looked for. */
  readonly lookMs: number;
  /** The same where a look takes long. */
  readonly longestLookMs: number;
  readonly sweepMs: number;
  readonly pruneMs: number;
  /** A login, from the first packet on. */
  readonly openMs: number;
  /** Until a mailbox says what is new. */
  readonly nextMs: number;
  readonly syncMs: number;
  /** What is under way when a watch is to end has so long to come to its end. */
  readonly graceMs: number;
  readonly closeMs: number;
  readonly goodLifeMs: number;
  /** What {@link backOff} says is multiplied by it: 1 but for tests. */
  readonly backOffScale: number;
}

export const WATCH_TIMES: WatchTimes = {
  beatMs: 5_000,
  deadMs: 15_000,
  lookMs: 1_000,
  longestLookMs: 5_000,
  sweepMs: 60_000,
  pruneMs: 60 * 60_000,
  openMs: 60_000,
  nextMs: 2 * 60_000,
  syncMs: 5 * 60_000,
  graceMs: 600,
  closeMs: 300,
  goodLifeMs: 60_000,
  backOffScale: 1,
};

/**
 * Waits for `work` at most so long: `over` afterwards. `stopped` once the signal has aborted and `graceMs` have passed.
 * What comes later is passed over, failures too. `ms` null: no limit, and no timer.
 */
export async function within<T>(
  work: Promise<T>,
  {
    ms,
    signal,
    graceMs = 0,
  }: { readonly ms: number | null; readonly signal: AbortSignal | null; readonly graceMs?: number },
): Promise<T | 'over' | 'stopped'> {
  let timer: NodeJS.Timeout | undefined;
  let grace: NodeJS.Timeout | undefined;
  let leave = (_why: 'over' | 'stopped'): void => {};
  const left = new Promise<'over' | 'stopped'>((resolve) => {
    leave = resolve;
  });
  const stop = (): void => {
    if (graceMs === 0) leave('stopped');
    else grace = setTimeout(() => leave('stopped'), graceMs);
  };
  if (ms !== null) timer = setTimeout(() => leave('over'), ms);
  if (signal?.aborted) stop();
  else signal?.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, left]);
  } finally {
    clearTimeout(timer);
    clearTimeout(grace);
    signal?.removeEventListener('abort', stop);
  }
}

/** Resolves after so long, or when the signal aborts. Does not hold the process. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms).unref();
    signal.addEventListener('abort', end, { once: true });
  });
}
