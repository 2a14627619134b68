// How destinations stand: the rules by which one is called failing or failed (contract 3.6).
import type { HealthThresholds } from '../config.ts';
import type { Sql } from '../db/pool.ts';

/** Attempts are counted by five minutes. */
export const BUCKET_MS = 300_000;

/** Fewer say nothing: one notification has three attempts in its first five minutes. */
const FEWEST = 5;
const THIRDS = 3;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Neighbouring five minutes may be a second apart. */
const SHORTEST_MS = 2 * BUCKET_MS;

export interface Tally {
  readonly succeeded: number;
  readonly failed: number;
}

/** Since it began to fail. */
export interface Since extends Tally {
  /** In how many thirds of the last `failedHours` an attempt failed: 0 to 3. */
  readonly thirds: number;
}

/** The newest attempts: those of the last `failingMinutes`, and as many before them as it takes to have five. */
export interface Recent extends Tally {
  /** Between the beginnings of the first and the last five minutes in it. */
  readonly spanMs: number;
  /** Since the beginning of the last five minutes in it. */
  readonly idleMs: number;
}

export interface Standing {
  readonly app: number;
  readonly id: string;
  readonly status: 'active' | 'failing';
  readonly statusUpdatedAt: Date;
  /** Of an active one only what came after it was last made active: what it was forgiven is not held against it again. */
  readonly recent: Recent;
  /** Null where it began to fail less than `failedHours` ago, and for an active one. */
  readonly since: Since | null;
}

/** What it is to be called from now on, null for no change. Never away from `failed`: that is for its owner. */
export function judge(
  { status, recent, since }: Pick<Standing, 'status' | 'recent' | 'since'>,
  { failingMinutes, failurePercent }: HealthThresholds,
): 'active' | 'failing' | 'failed' | null {
  const isBad = (tally: Tally): boolean => tally.failed * 100 >= failurePercent * (tally.failed + tally.succeeded);
  const enough = (tally: Tally): boolean => tally.failed + tally.succeeded >= FEWEST;
  if (status === 'active') {
    const isLong = recent.spanMs >= windowOf(failingMinutes);
    return enough(recent) && isLong && isBad(recent) ? 'failing' : null;
  }
  if (recent.succeeded > 0 && !isBad(recent)) return 'active';
  // Nobody is given up who was not tried just now, and before that in each third of the time: while we were down, or had
  // nothing to send, time proves nothing.
  const isFresh = recent.failed > 0 && recent.idleMs < windowOf(failingMinutes) + BUCKET_MS;
  return since !== null && since.thirds === THIRDS && enough(since) && isFresh && isBad(since) ? 'failed' : null;
}

/** Those whose status may have to change. A handful of rows of each destination are read, by the primary key. */
export async function readStandings(sql: Sql, thresholds: HealthThresholds, now: number): Promise<Standing[]> {
  const { failingMinutes, failedHours, failurePercent } = thresholds;
  const from = binOf(now - windowOf(failingMinutes));
  // Every row holds an attempt, so that many rows are as far back as it ever takes.
  const most = Math.max(FEWEST, (binOf(now) - from) / BUCKET_MS + 2);
  const oldest = new Date(Math.min(now - failedHours * HOUR_MS, from));
  const overdue = new Date(now - failedHours * HOUR_MS);
  const thirdMs = (failedHours * HOUR_MS) / THIRDS;
  const rows = await sql<Row[]>`
    select d.app, d.id, d.status, d.status_updated_at, recent.*, since.*
    from destinations d
    cross join lateral (
      select sum(succeeded)::integer as succeeded, sum(failed)::integer as failed, min(bucket) as first,
        max(bucket) as last
      from (
        select bucket, succeeded, failed,
          sum(succeeded + failed) over (order by bucket desc rows between unbounded preceding and 1 preceding) as newer
        from (
          select bucket, succeeded, failed from destination_health h
          where h.app = d.app and h.destination_id = d.id
            and bucket <= ${new Date(now)} -- none that a clock left behind which had jumped
            and bucket >= case d.status when 'active' then greatest(${oldest}, d.status_updated_at) else ${oldest} end
          order by bucket desc
          limit ${most}
        ) newest
      ) counted
      where bucket >= ${new Date(from)} or coalesce(newer, 0) < ${FEWEST}
    ) recent
    cross join lateral (
      select sum(succeeded)::integer as since_succeeded, sum(failed)::integer as since_failed,
        count(distinct div((extract(epoch from ${new Date(now)} - bucket) * 1000)::bigint, ${thirdMs}))
          filter (where failed > 0 and bucket > ${overdue})::integer as thirds
      from destination_health h
      where d.status = 'failing' and d.status_updated_at <= ${overdue} -- inside, where it spares the scan
        and h.app = d.app and h.destination_id = d.id and bucket between d.status_updated_at and ${new Date(now)}
    ) since
    where d.status = 'failing' and recent.last is not null
      or d.status = 'active' and recent.failed * 100::bigint >= ${failurePercent} * (recent.failed + recent.succeeded)`;
  return rows.map((row) => ({
    app: row.app,
    id: row.id,
    status: row.status,
    statusUpdatedAt: row.status_updated_at,
    recent: {
      succeeded: row.succeeded,
      failed: row.failed,
      spanMs: row.last.getTime() - row.first.getTime(),
      idleMs: now - row.last.getTime(),
    },
    since:
      row.since_failed === null || row.since_succeeded === null
        ? null
        : { succeeded: row.since_succeeded, failed: row.since_failed, thirds: row.thirds },
  }));
}

interface Row {
  readonly app: number;
  readonly id: string;
  readonly status: 'active' | 'failing';
  readonly status_updated_at: Date;
  readonly succeeded: number;
  readonly failed: number;
  readonly first: Date;
  readonly last: Date;
  readonly since_succeeded: number | null;
  readonly since_failed: number | null;
  readonly thirds: number;
}

function windowOf(failingMinutes: number): number {
  return Math.max(failingMinutes * MINUTE_MS, SHORTEST_MS);
}

function binOf(ms: number): number {
  return Math.floor(ms / BUCKET_MS) * BUCKET_MS;
}
