// Keeps the server running until it is told to stop.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Postmaster, type PostmasterDeps, startPostmaster, sweepStrays } from './postmaster.ts';

export interface Supervisor {
  /** null while no server runs */
  pid(): number | null;
  stop(): Promise<void>;
}

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;
/** A server that ran this long has earned a quick restart: killed again and again it comes back once a second. */
const STEADY_MS = 1_000;
/** How long a first start waits for what the last server left to go away. */
const PATIENCE_MS = 15_000;

/** Resolves when the server takes connections; rejects when it cannot be started at all. */
export async function supervise(deps: PostmasterDeps): Promise<Supervisor> {
  const stopping = new AbortController();
  let newest: Postmaster | null = await startFirst(deps);
  let stopped: Promise<void> | null = null;
  const watching = watch(newest);

  return {
    pid: () => newest?.pid ?? null,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };

  async function stop(): Promise<void> {
    stopping.abort();
    await newest?.stop();
    await watching;
  }

  async function watch(first: Postmaster): Promise<void> {
    let running: Postmaster | null = first;
    let delay = FIRST_DELAY_MS;
    let since = performance.now();
    for (;;) {
      if (running !== null) {
        const exit = await running.exited;
        newest = null;
        if (stopping.signal.aborted) return;
        deps.log.error({ pid: running.pid, ...exit }, 'postgres.exited');
        if (performance.now() - since > STEADY_MS) delay = FIRST_DELAY_MS;
      }
      await sleep(delay, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
      if (stopping.signal.aborted) return;
      delay = Math.min(delay * 2, LONGEST_DELAY_MS);
      running = await restart();
      since = performance.now();
    }
  }

  /** null when it failed */
  async function restart(): Promise<Postmaster | null> {
    const begun = performance.now();
    let started: Postmaster | null = null;
    try {
      started = await startPostmaster(deps);
      newest = started;
      // A stop() that came before this line found nothing to stop.
      if (stopping.signal.aborted) await started.stop();
      await started.ready();
      started.hold(false);
      deps.log.warn({ pid: started.pid, ms: Math.round(performance.now() - begun) }, 'postgres.restarted');
      return started;
    } catch (error) {
      await started?.stop();
      newest = null;
      if (stopping.signal.aborted) return null;
      deps.log.error({ error: String(error) }, 'postgres.restart_failed');
      await sweepStrays(error, deps).catch(() => false);
      return null;
    }
  }
}

async function startFirst(deps: PostmasterDeps): Promise<Postmaster> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const postmaster = await startPostmaster(deps);
    try {
      await postmaster.ready();
      postmaster.hold(false);
      return postmaster;
    } catch (error) {
      await postmaster.stop();
      if (!(await sweepStrays(error, deps)) || performance.now() > deadline) throw error;
      await sleep(FIRST_DELAY_MS);
    }
  }
}
