import { isConnectionLost, isTransient } from '../db/pool.ts';
import type { Log } from '../log.ts';

export interface Loop {
  /** There may be work now. Cheap: calls while it runs become one more run. */
  wake(): void;
  /** There will be work in so many milliseconds. Only the earliest such wish is kept. */
  wakeIn(ms: number): void;
  /** Resolves when the run under way has ended; nothing runs afterwards. */
  stop(): Promise<void>;
}

export interface LoopDeps {
  readonly name: string;
  /** `more` for another run at once. What it throws is logged, and the next wake or poll tries again. */
  readonly run: () => Promise<'more' | 'idle'>;
  readonly pollMs: number;
  readonly log: Pick<Log, 'warn' | 'error'>;
}

/** Runs one after the other, on wakes and, because a wake may be lost, on a poll. Does not hold the process. */
export function startLoop({ name, run, pollMs, log }: LoopDeps): Loop {
  let running: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let lost = false;
  let wish: { readonly at: number; readonly timer: NodeJS.Timeout } | null = null;

  const runAll = async (): Promise<void> => {
    do {
      again = false;
      try {
        while (!stopped && (await run()) === 'more');
        lost = false;
      } catch (error) {
        if (isConnectionLost(error)) {
          if (!lost) log.warn({ err: error, loop: name }, 'notify.database_lost');
          lost = true;
        } else if (isTransient(error)) again = true;
        else log.error({ err: error, loop: name }, 'notify.failed');
      }
    } while (again && !stopped);
    running = null;
  };
  const wake = (): void => {
    if (stopped) return;
    if (running === null) running = runAll();
    else again = true;
  };
  const poll = setInterval(wake, pollMs).unref();
  wake();

  return {
    wake,
    wakeIn(ms) {
      const at = performance.now() + ms;
      if (stopped || (wish !== null && wish.at <= at)) return;
      if (wish !== null) clearTimeout(wish.timer);
      const timer = setTimeout(() => {
        wish = null;
        wake();
      }, ms).unref();
      wish = { at, timer };
    },
    async stop() {
      stopped = true;
      clearInterval(poll);
      if (wish !== null) clearTimeout(wish.timer);
      await running;
    },
  };
}
