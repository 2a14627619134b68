import type { HealthThresholds } from '../config.ts';
import { isConnectionLost, type Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import type { Postman } from '../providers/postman.ts';
import { type Clock, databaseClock } from './clock.ts';
import { type DeliveryCounts, startDeliverer } from './deliver.ts';
import type { Destinations } from './destination.ts';
import { fanOut } from './fanout.ts';
import { startHealth } from './health.ts';
import { startLoop } from './loop.ts';
import { startNotices } from './notices.ts';
import { countPending } from './pending.ts';

export interface NotifyDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly vault: { open(sealed: Buffer, context: string): string };
  readonly destinations: Destinations;
  readonly thresholds: HealthThresholds;
  /** Carries notices to people; null: they are not told by mail. */
  readonly postman: Postman | null;
  readonly publicUrl: string;
  /** Told after a fan-out that made deliveries, so that other processes may look. */
  readonly onDeliveries?: () => void;
  /** Instead of the database's clock. */
  readonly now?: () => number;
  readonly random?: () => number;
  readonly pollMs?: number;
  readonly concurrency?: number;
}

export interface NotifyCounts extends DeliveryCounts {
  facts: number;
  notifications: number;
  coalesced: number;
  held: number;
  /** As of at most 15 s ago; counted no further than 100,000. */
  pending: number;
}

export interface Notify {
  /** The outbox may hold new facts. */
  wakeFanout(): void;
  /** Deliveries may be due that another process made. */
  wakeDeliver(): void;
  /** Somebody asked for deliveries now: destinations that are down are tried at once. */
  probe(): void;
  /** Lets what is in flight come to its end, at most 3 s. */
  stop(): Promise<void>;
  readonly counts: NotifyCounts;
}

const POLL_MS = 1_000;
const FACTS_AT_ONCE = 500;
const CONCURRENCY = 128;
const COUNT_MS = 15_000;
const STOP_MS = 3_000; // less than the service grants its workers; what hangs longer is tried again after its claim

/** From committed facts to delivered notifications. */
export function startNotify(deps: NotifyDeps): Notify {
  const { sql, log } = deps;
  const clock: Clock = deps.now === undefined ? databaseClock(sql) : { now: deps.now, keep: async () => {} };
  const pollMs = deps.pollMs ?? POLL_MS;
  const deliverer = startDeliverer({
    sql,
    log,
    vault: deps.vault,
    destinations: deps.destinations,
    clock,
    random: deps.random ?? Math.random,
    pollMs,
    concurrency: deps.concurrency ?? CONCURRENCY,
  });
  const counts: NotifyCounts = Object.assign(deliverer.counts, {
    facts: 0,
    notifications: 0,
    coalesced: 0,
    held: 0,
    pending: 0,
  });

  const fanout = startLoop({
    name: 'fanout',
    pollMs,
    log,
    async run() {
      await clock.keep();
      const done = await fanOut({ sql, log, now: clock.now() }, FACTS_AT_ONCE);
      counts.facts += done.facts;
      counts.notifications += done.notifications;
      counts.coalesced += done.coalesced;
      counts.held += done.held;
      if (done.dueAt !== null) {
        const wait = done.dueAt - clock.now();
        if (wait <= 0) deliverer.wake();
        else deliverer.wakeIn(wait);
        deps.onDeliveries?.();
      }
      return done.facts === FACTS_AT_ONCE ? 'more' : 'idle';
    },
  });

  const notices =
    deps.postman === null ? null : startNotices({ sql, log, clock, postman: deps.postman, publicUrl: deps.publicUrl });
  const health = startHealth({
    sql,
    log,
    clock,
    thresholds: deps.thresholds,
    canMail: notices !== null,
    onNotices: () => notices?.wake(),
  });

  const count = (): void => {
    countPending(sql).then(
      (pending) => {
        counts.pending = pending;
      },
      (error: unknown) => {
        if (!isConnectionLost(error)) log.warn({ err: error }, 'notify.count_failed');
      },
    );
  };
  count();
  const counting = setInterval(count, COUNT_MS).unref();

  return {
    wakeFanout: () => fanout.wake(),
    wakeDeliver: () => deliverer.wake(),
    probe: () => deliverer.probe(),
    counts,
    async stop() {
      clearInterval(counting);
      await Promise.all([fanout.stop(), deliverer.stop(STOP_MS), health.stop(), notices?.stop()]);
    },
  };
}
