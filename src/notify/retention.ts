// Notifications and the history of their deliveries are kept for a number of days, then dropped by the week.
import { dropPartitions, lowestId, weekOf } from '../db/partitions.ts';
import type { Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import { databaseClock } from './clock.ts';
import { startLoop } from './loop.ts';

export interface RetentionDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
}

export interface Pruned {
  /** Names of the partitions that were dropped. */
  readonly partitions: readonly string[];
  /** Deliveries that would have waited for ever, their notifications being gone. */
  readonly pending: number;
}

const EVERY_MS = 60 * 60_000;
const DAY_MS = 24 * 60 * 60_000;
// Never the notifications of a week without their history: nothing would say what it was about.
const TABLES = ['attempts', 'deliveries', 'notifications'] as const;

/** Prunes now and every hour, by the database's clock. `days` 0 keeps everything. */
export function startRetention(deps: RetentionDeps & { readonly days: number }): { stop(): Promise<void> } {
  const { sql, log, days } = deps;
  if (days === 0) return { stop: async () => {} };
  const clock = databaseClock(sql);
  return startLoop({
    name: 'retention',
    pollMs: EVERY_MS,
    log,
    async run() {
      await clock.keep();
      await prune(deps, clock.now() - days * DAY_MS);
      return 'idle';
    },
  });
}

/**
 * Drops what was notified in the weeks that were over at `before` (Unix milliseconds), and what waits for a receiver
 * that is paused or failed of that. What waits for another is tried once more and ends as `gone`.
 */
export async function prune({ sql, log }: RetentionDeps, before: number): Promise<Pruned> {
  const partitions = await dropPartitions(sql, { tables: TABLES, before });
  const edge = lowestId(weekOf(before));
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
  return { partitions, pending: pending.count };
}
