// Notifications and the history of their deliveries are kept for a number of days, then dropped by the week.
import { dropPartitions, lowestId, weekOf, weeksWithRows } from '../db/partitions.ts';
import type { Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import { type Clock, databaseClock } from './clock.ts';
import { startLoop } from './loop.ts';

export interface RetentionDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** 0 keeps everything. */
  readonly days: number;
  /** Instead of the database's. */
  readonly clock?: Clock;
}

export interface Retention {
  wake(): void;
  stop(): Promise<void>;
}

export interface Pruned {
  /** Names of the partitions that were dropped. */
  readonly partitions: readonly string[];
  /** One that was in use, and stays with all that come after it; null where none was. */
  readonly busy: string | null;
  /** Weeks that are old by the clock, but were not by what was notified. */
  readonly kept: number;
  /** Deliveries that would have waited for ever, their notifications being gone. */
  readonly pending: number;
}

const EVERY_MS = 60 * 60_000;
const DAY_MS = 24 * 60 * 60_000;
const WEEK_MS = 7 * DAY_MS;
/** A longer silence is not believed to be one: the clock may have jumped. */
const LONGEST_SILENCE_MS = 30 * DAY_MS;
// Never the notifications of a week without their history: nothing would say what it was about.
const TABLES = ['attempts', 'deliveries', 'notifications'] as const;

/** Prunes now and every hour. What keeps weeks from being dropped is said once a day; that one is in use, after a day. */
export function startRetention(deps: RetentionDeps): Retention {
  const { sql, log, days, clock = databaseClock(sql) } = deps;
  if (days === 0) return { wake: () => {}, stop: async () => {} };
  let saidKept: number | null = null;
  let busySince: number | null = null;
  return startLoop({
    name: 'retention',
    pollMs: EVERY_MS,
    log,
    async run() {
      await clock.keep();
      const now = clock.now();
      const { kept, busy } = await prune({ sql, log, days }, now);
      if (kept > 0 && isDayApart(saidKept, now)) {
        log.warn({ weeks: kept, days }, 'notifications.kept');
        saidKept = now;
      }
      if (busy === null) busySince = null;
      else if (busySince === null) busySince = now;
      else if (isDayApart(busySince, now)) {
        log.warn({ partition: busy }, 'notifications.prune_blocked');
        busySince = now;
      }
      return 'idle';
    },
  });
}

/** In either direction: a clock that had jumped may have come back. */
function isDayApart(then: number | null, now: number): boolean {
  return then === null || Math.abs(now - then) >= DAY_MS;
}

/**
 * Drops what was notified in weeks that were over for `days` at `now` (Unix milliseconds), and what waits for a receiver
 * that is paused or failed of that. What waits for another is tried once more and ends as `gone`.
 */
export async function prune(
  { sql, log, days }: Pick<RetentionDeps, 'sql' | 'log' | 'days'>,
  now: number,
): Promise<Pruned> {
  const limit = limitOf(await weeksWithRows(sql, 'notifications', now), days * DAY_MS, now);
  const { dropped: partitions, busy } = await dropPartitions(sql, { tables: TABLES, before: limit.before });
  const edge = lowestId(weekOf(limit.before));
  const pending = await sql`
    delete from pending_deliveries p using destinations d
    where d.app = p.app and d.id = p.destination_id and d.status in ('paused', 'failed') and p.notification_id < ${edge}
      and not exists (select from notifications n where n.app = p.app and n.id = p.notification_id)`;
  await sql`
    delete from coalescing_notifications c
    where c.notification_id < ${edge}
      and not exists (select from notifications n where n.app = c.app and n.id = c.notification_id)`;
  if (partitions.length > 0 || pending.count > 0) {
    log.info({ partitions, pending: pending.count }, 'notifications.pruned');
  }
  return { partitions, busy, kept: limit.kept, pending: pending.count };
}

/**
 * A silence of more than 30 days counts as 30, of half of what is kept where that is less: when the database's clock
 * jumps years ahead, nearly all would be old at once, and to go back would not bring it back.
 */
function limitOf(
  newestFirst: readonly number[],
  keptMs: number,
  now: number,
): { readonly before: number; readonly kept: number } {
  let before = now - keptMs;
  let kept = 0;
  let ageMs = 0; // of what lies behind `reached`
  let reached = now;
  for (const week of newestFirst) {
    const silenceMs = Math.max(0, reached - (week + WEEK_MS));
    ageMs += silenceMs > LONGEST_SILENCE_MS ? Math.min(LONGEST_SILENCE_MS, keptMs / 2) : silenceMs;
    if (ageMs >= keptMs) break;
    if (week + WEEK_MS <= now - keptMs) {
      before = week; // not what is older either, unless it is old enough
      kept++;
    }
    ageMs += Math.min(reached, week + WEEK_MS) - week;
    reached = week;
  }
  return { before, kept };
}
