// Calls destinations failing, failed, or active again, and sees to it that their people are told.
import type { HealthThresholds } from '../config.ts';
import type { Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import type { Clock } from './clock.ts';
import type { DestinationKind } from './destination.ts';
import { nameOf } from './destination-rules.ts';
import { sweep } from './leftovers.ts';
import { startLoop } from './loop.ts';
import { judge, readStandings, type Standing } from './standing.ts';

export interface HealthDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly clock: Clock;
  readonly thresholds: HealthThresholds;
  /** Whether there is a mail server for notices; without one none are written. */
  readonly canMail: boolean;
  /** Told after a change that left notices to be sent. */
  readonly onNotices?: () => void;
  readonly everyMs?: number;
}

export interface Health {
  wake(): void;
  stop(): Promise<void>;
}

const EVERY_MS = 30_000;
const PRUNE_EVERY_MS = 3_600_000;
const PRUNED_AT_ONCE = 5_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Several processes may run it: of each change one is the author. A paused destination is left alone. */
export function startHealth(deps: HealthDeps): Health {
  const { sql, clock, thresholds, log } = deps;
  let prunedAt = Number.NEGATIVE_INFINITY;
  const loop = startLoop({
    name: 'health',
    pollMs: deps.everyMs ?? EVERY_MS,
    log,
    async run() {
      await clock.keep();
      const now = clock.now();
      for (const standing of await readStandings(sql, thresholds, now)) {
        const to = judge(standing, thresholds);
        if (to !== null) await change(deps, standing, to, now);
      }
      if (now - prunedAt < PRUNE_EVERY_MS) return 'idle';
      if ((await prune(sql, oldestKept(thresholds, now))) === PRUNED_AT_ONCE) return 'more';
      prunedAt = now;
      return 'idle';
    },
  });
  return loop;
}

interface Changed {
  readonly kind: DestinationKind;
  readonly recipients: number;
}

/** Does nothing where the status is no longer what it was, or is so again. Of notices that were not sent yet only the latest are left. */
async function change(
  deps: HealthDeps,
  standing: Standing,
  to: Standing['status'] | 'failed',
  now: number,
): Promise<void> {
  const { app, id, status, statusUpdatedAt } = standing;
  const at = new Date(now);
  const tells = to !== 'active' && deps.canMail; // nobody has to do anything about a recovery
  const [changed] = await deps.sql<Changed[]>`
    with changed as (
      update destinations set status = ${to}, status_updated_at = ${at}
      where app = ${app} and id = ${id} and status = ${status}
        and date_trunc('milliseconds', status_updated_at) = ${statusUpdatedAt} -- as JavaScript has it
      returning app, id, kind, notification_emails
    ), superseded as (
      delete from destination_notices n using changed c where n.app = c.app and n.destination_id = c.id
    ), told as (
      -- one for each: nobody sees the others, and of two that one of is refused for now the other is told
      insert into destination_notices (app, id, destination_id, status, recipients, next_attempt_at, created_at)
      select c.app, gen_random_uuid(), c.id, ${to}, array[recipient.address], ${at}, ${at}
      from changed c
      cross join lateral (select distinct unnest(c.notification_emails) as address) recipient
      where ${tells}
    )
    select kind, cardinality(notification_emails) as recipients from changed`;
  if (changed === undefined) return;
  const { kind, recipients } = changed;
  const { succeeded, failed } = standing.since ?? standing.recent;
  const destination = { app, [kind]: nameOf(kind, id) };
  const mail = to === 'active' ? null : deps.canMail ? recipients : 'no mail server is set (TELLTALE_SMTP_URL)';
  deps.log.warn(
    { destination, from: status, to, succeeded, failed, ...(mail === null ? {} : { mail }) },
    'destination.changed',
  );
  if (tells && recipients > 0) deps.onNotices?.();
}

function oldestKept({ failingMinutes, failedHours }: HealthThresholds, now: number): Date {
  return new Date(now - Math.max(failingMinutes * MINUTE_MS, failedHours * HOUR_MS) - DAY_MS);
}

/** Answers how many went of what there may be much of, `PRUNED_AT_ONCE` at most of each. */
async function prune(sql: Sql, before: Date): Promise<number> {
  const gone = await sql`
    delete from destination_health h using (
      select d.app, d.id, old.bucket from destinations d
      cross join lateral (
        select bucket from destination_health
        where app = d.app and destination_id = d.id and bucket < ${before}
        limit ${PRUNED_AT_ONCE}
      ) old
      limit ${PRUNED_AT_ONCE}
    ) old
    where h.app = old.app and h.destination_id = old.id and h.bucket = old.bucket`;
  // What an attempt that ended while its destination was deleted left behind.
  await sql`
    with orphaned as (
      delete from destination_counters c
      where not exists (select from destinations d where d.app = c.app and d.id = c.destination_id)
      returning app, destination_id
    )
    delete from destination_health h using orphaned o where h.app = o.app and h.destination_id = o.destination_id`;
  return Math.max(gone.count, await sweep(sql, PRUNED_AT_ONCE));
}
