/** Below the speed of any line that a mail server hangs on. */
const BYTES_PER_MS = 200;

/** A limit for a call that also carries so many bytes: a mail of 34 MB, in base64, has some three minutes more. */
export function limitFor(bytes: number, ms: number): number {
  return ms + bytes / BYTES_PER_MS;
}

/** For a call that was told to stop: to say how it ended, before it is left to itself. */
const LAST_WORDS_MS = 500;

/**
 * Calls `work` with a signal that aborts after `ms` milliseconds, or as soon as `cut` does. `over` where it does not
 * settle even then. Nothing stays behind: AbortSignal.timeout would, and Node 20 drops one that AbortSignal.any stands for
 * at the next garbage collection, so that it never aborts.
 */
export async function withinLimit<T>(
  ms: number,
  cut: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | 'over'> {
  const limit = new AbortController();
  let leave = (): void => {};
  const over = new Promise<'over'>((resolve) => {
    leave = () => resolve('over');
  });
  let lastWords: NodeJS.Timeout | undefined;
  const stop = (): void => {
    limit.abort();
    lastWords ??= setTimeout(leave, LAST_WORDS_MS);
  };
  const timer = setTimeout(stop, ms);
  cut.addEventListener('abort', stop, { once: true });
  if (cut.aborted) stop();
  try {
    return await Promise.race([work(limit.signal), over]);
  } finally {
    clearTimeout(timer);
    clearTimeout(lastWords);
    cut.removeEventListener('abort', stop);
  }
}
