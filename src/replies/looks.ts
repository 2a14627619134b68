import { pause } from './patience.ts';

export interface Looks {
  /** Soon, instead of when it would be time. */
  look(): void;
  /** Resolves when the one under way has ended. */
  stop(): Promise<void>;
}

/** With looks that take long, they take a twentieth of the time. */
const REST = 20;
/** However many hints come. */
const LEAST_REST_MS = 200;

/** One look after the other, every `lookMs`, or less often where they take long. What one throws goes to `failed`. */
export function startLooks(
  { lookMs, longestLookMs }: { readonly lookMs: number; readonly longestLookMs: number },
  run: () => Promise<void>,
  failed: (error: unknown) => void,
): Looks {
  const stopping = new AbortController();
  let nap = new AbortController();
  let isHinted = false;

  const go = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      isHinted = false;
      const from = performance.now();
      await run().catch(failed);
      const rest = Math.min(longestLookMs, Math.max(lookMs, (performance.now() - from) * REST));
      const least = Math.min(LEAST_REST_MS, rest);
      await pause(least, stopping.signal);
      nap = new AbortController();
      if (!isHinted && !stopping.signal.aborted) await pause(rest - least, nap.signal);
    }
  };
  const going = go();

  return {
    look() {
      isHinted = true;
      nap.abort();
    },
    async stop() {
      stopping.abort();
      nap.abort();
      await going;
    },
  };
}
