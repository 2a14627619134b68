// Lets scheduled mails leave at their time. Several processes may run it: each mail is claimed by one, and handed over once.
import { setTimeout as delay } from 'node:timers/promises';
import { isConnectionLost } from '../db/pool.ts';
import { type DepartureDeps, depart } from './departure.ts';
import { claimDue, type Due, giveBack, makeRelease } from './schedule-queue.ts';
import { closeRested } from './schedules.ts';

export interface SchedulerDeps extends DepartureDeps {
  readonly pollMs?: number;
}

export interface Scheduler {
  readonly counts: SchedulerCounts;
  /** Resolves when what is being prepared was given back; what is being handed over goes on. */
  close(): Promise<void>;
}

/** Plain numbers, only ever moved here. */
export interface SchedulerCounts {
  sent: number;
  failed: number;
  putOff: number;
}

const POLL_MS = 500;
/** Mails under way at once: a server that says nothing holds one for 75 s. */
const AT_ONCE = 40;
const OF_A_GRANT = 4;
const CLAIMED_AT_ONCE = 16;
/** Of the mails under way. They lie in memory until their providers answer, as text and composed: three times as much. */
const BYTES_AT_ONCE = 32 * 1024 * 1024;
const CLOSED_AT_ONCE = 200;
const TIDY_MS = 1_000;
/**
 * For each mail, after those that were claimed together: those share their commits, and between them the process has time
 * for the links and pixels that it answers.
 */
const PACE_MS = 6;

export function startScheduler(deps: SchedulerDeps): Scheduler {
  const { sql, log } = deps;
  const counts: SchedulerCounts = { sent: 0, failed: 0, putOff: 0 };
  const underWay = new Map<string, Due>();
  const leaving = new Set<Promise<void>>();
  let nudged = false;
  let wake = (): void => {};
  /** Where one has left another may follow. */
  const nudge = (): void => {
    nudged = true;
    wake();
  };
  const closing = new AbortController();
  const release = makeRelease(sql);
  let tidied = 0;
  let tidiedAt = -Infinity;

  const byGrant = (): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const { grantId } of underWay.values()) counts.set(grantId, (counts.get(grantId) ?? 0) + 1);
    return counts;
  };

  const launch = (due: Due): void => {
    underWay.set(due.id, due);
    const left = leave(due)
      .catch((error: unknown) => {
        // The claim runs out, and it is tried again; where it was released already, recovery finds out what became of it.
        log.error({ app: due.app, grant: due.grantId, schedule: due.id, err: error }, 'schedule.threw');
      })
      .finally(() => {
        underWay.delete(due.id);
        leaving.delete(left);
        nudge();
      });
    leaving.add(left);
  };

  const leave = async (due: Due): Promise<void> => {
    const outcome = await depart(deps, due, async () => {
      if (!closing.signal.aborted) return await release(due);
      await giveBack(sql, due);
      return false;
    });
    if (outcome !== null) counts[outcome] += 1;
  };

  /** Whether there may be more. */
  const look = async (): Promise<boolean> => {
    const most = Math.min(CLAIMED_AT_ONCE, AT_ONCE - underWay.size);
    const bytes = BYTES_AT_ONCE - [...underWay.values()].reduce((sum, each) => sum + each.bytes, 0);
    if (most <= 0 || bytes <= 0) return false;
    const wanted = { most, bytes, ofAGrant: OF_A_GRANT, underWay: byGrant(), graceMs: deps.graceMs };
    const due = await claimDue(sql, wanted);
    for (const each of due) {
      launch(each);
      await turn();
    }
    if (due.length > 0) await delay(due.length * PACE_MS);
    return due.length > 0;
  };

  /** Until it is time to look again, or one has left since the look began. */
  const quiet = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, nudged ? 0 : (deps.pollMs ?? POLL_MS));
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  /** What was sent is erased soon, and together: a commit for each would sync the disk that the edge waits for. */
  const tidy = async (): Promise<void> => {
    const rested = counts.sent + counts.failed;
    if (rested === tidied || performance.now() - tidiedAt < TIDY_MS) return;
    tidied = rested;
    tidiedAt = performance.now();
    while ((await closeRested(sql, CLOSED_AT_ONCE)) === CLOSED_AT_ONCE);
  };

  const work = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      let goesOn = false;
      nudged = false;
      try {
        goesOn = await look();
        await tidy();
      } catch (error) {
        if (!isConnectionLost(error)) log.warn({ err: error }, 'schedules.failed');
      }
      if (!goesOn) await quiet();
    }
  };

  const working = work();
  return {
    counts,
    async close() {
      closing.abort();
      nudge();
      await working;
      await Promise.race([Promise.all(leaving), delay(CLOSE_MS, undefined, { ref: false })]);
    },
  };
}

/** Whatever else waits for this process comes first. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** For those that are being composed; those with their providers have a little longer, with all other sends. */
const CLOSE_MS = 1_000;
