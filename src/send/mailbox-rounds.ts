// Workers on what is due in mailboxes, several of those at once.
import { isConnectionLost } from '../db/pool.ts';
import type { Log } from '../log.ts';

/** What a worker does next. */
export interface Job {
  /** Tries while its mailbox could not be used; this one included. */
  readonly attempts: number;
}

export interface Claims<J> {
  /** Jobs at most, of as many mailboxes. */
  readonly most: number;
  /** Of these at most so many that were tried before: their mailboxes may be silent, and hold the worker until it gives up. */
  readonly retries: number;
  /** Of the mailbox of this one alone. */
  readonly like?: J;
}

export interface Rounds<J extends Job> {
  /** For the log. */
  readonly name: string;
  readonly log: Log;
  readonly pollMs?: number | undefined;
  claim(wanted: Claims<J>): Promise<readonly J[]>;
  /** Answers whether it makes sense to go on with other jobs of this mailbox. Throws only for a database that fails. */
  work(job: J, cut: AbortSignal): Promise<boolean>;
  /** What is to be done now and then besides. */
  tend(): Promise<void>;
}

const POLL_MS = 1_000;
/** Mailboxes at once. */
const WORKERS = 8;
const RETRYING = 4;
/** How long a worker goes on with one mailbox, whose session is open, while others may wait. */
const STAY_MS = 5_000;
const TEND_EVERY_MS = 15_000;
const CUT_MS = 1_000;

/** Until `close`, which resolves when what is under way has ended; what takes longer than `CUT_MS` is cut off. */
export function startRounds<J extends Job>(rounds: Rounds<J>): { close(): Promise<void> } {
  const { name, log } = rounds;
  const cut = new AbortController();
  const serving = new Set<Promise<void>>();
  let retrying = 0;
  let closing = false;
  let timer: NodeJS.Timeout | undefined;
  let filling: Promise<void> | null = null;
  let again = false;
  let tended = -Infinity;

  const failed = (error: unknown): void => {
    if (!isConnectionLost(error)) log.warn({ err: error }, `${name}.failed`);
  };

  const fill = async (): Promise<void> => {
    clearTimeout(timer);
    try {
      if (performance.now() - tended >= TEND_EVERY_MS) {
        tended = performance.now();
        await rounds.tend();
      }
      const most = WORKERS - serving.size;
      if (most > 0 && !closing) {
        for (const job of await rounds.claim({ most, retries: RETRYING - retrying })) launch(job);
      }
    } catch (error) {
      failed(error);
    }
    if (closing) return;
    timer = setTimeout(look, rounds.pollMs ?? POLL_MS);
    timer.unref();
  };

  const look = (): void => {
    if (closing) return;
    if (filling !== null) {
      again = true;
      return;
    }
    filling = fill().finally(() => {
      filling = null;
      if (again) {
        again = false;
        look();
      }
    });
  };

  const launch = (job: J): void => {
    const retry = job.attempts > 1 ? 1 : 0;
    retrying += retry;
    const served = serve(job)
      .catch(failed)
      .finally(() => {
        retrying -= retry;
        serving.delete(served);
        look();
      });
    serving.add(served);
  };

  const serve = async (first: J): Promise<void> => {
    const until = performance.now() + STAY_MS;
    let job: J | undefined = first;
    while (job !== undefined) {
      const goesOn = await rounds.work(job, cut.signal);
      if (!goesOn || closing || performance.now() > until) return;
      [job] = await rounds.claim({ most: 1, retries: 1, like: job });
    }
  };

  look();
  return {
    async close() {
      closing = true;
      clearTimeout(timer);
      const late = setTimeout(() => cut.abort(), CUT_MS);
      await filling;
      await Promise.all(serving);
      clearTimeout(late);
    },
  };
}
