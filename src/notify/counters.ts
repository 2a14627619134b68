import type { Sql } from '../db/pool.ts';

export interface DestinationCounters {
  /** Ever. Deliveries count in the state they came to rest in, and again when they were replayed. */
  readonly attempts: number;
  readonly delivered: number;
  readonly exhausted: number;
  readonly stopped: number;
  /** Now, counted no further than {@link COUNTED_TO}. */
  readonly pending: number;
  /** Now, among the newest {@link COUNTED_TO} that were not delivered. */
  readonly held: number;
  /** Attempts, those that say nothing about the destination left out. */
  readonly last24h: { readonly succeeded: number; readonly failed: number };
  readonly lastSuccessAt: Date | null;
  readonly lastFailureAt: Date | null;
}

/** A count this high means so many or more. */
export const COUNTED_TO = 10_000;
const DAY_MS = 24 * 3_600_000;

/** `now` is the database's by default. By destination id, for every one asked for. A long queue is not counted out: 10,000 rows take 20 ms. */
export async function readCounters(
  { sql, now }: { readonly sql: Sql; readonly now?: number },
  app: number,
  destinationIds: readonly string[],
): Promise<ReadonlyMap<string, DestinationCounters>> {
  const rows = await sql<Row[]>`
    select asked.id, coalesce(c.attempts, 0)::float8 as attempts, coalesce(c.delivered, 0)::float8 as delivered,
      coalesce(c.exhausted, 0)::float8 as exhausted, coalesce(c.stopped, 0)::float8 as stopped,
      c.last_success_at, c.last_failure_at, waiting.pending, undelivered.held, day.succeeded, day.failed
    from unnest(${[...new Set(destinationIds)]}::uuid[]) as asked (id)
    left join destination_counters c on c.app = ${app} and c.destination_id = asked.id
    cross join lateral (
      select count(*)::integer as pending from (
        select from pending_deliveries where app = ${app} and destination_id = asked.id limit ${COUNTED_TO}
      ) few
    ) waiting
    cross join lateral (
      select count(*) filter (where state = 'held')::integer as held from (
        select state from deliveries
        where app = ${app} and destination_id = asked.id and state <> 'delivered' -- the index has these
        order by notification_id desc
        limit ${COUNTED_TO}
      ) few
    ) undelivered
    cross join lateral (
      select coalesce(sum(succeeded), 0)::integer as succeeded, coalesce(sum(failed), 0)::integer as failed
      from destination_health
      where app = ${app} and destination_id = asked.id and bucket > ${now === undefined ? sql`now() - interval '1 day'` : new Date(now - DAY_MS)}
    ) day`;
  return new Map(
    rows.map(({ id, attempts, delivered, exhausted, stopped, pending, held, ...row }) => [
      id,
      {
        attempts,
        delivered,
        exhausted,
        stopped,
        pending,
        held,
        last24h: { succeeded: row.succeeded, failed: row.failed },
        lastSuccessAt: row.last_success_at,
        lastFailureAt: row.last_failure_at,
      },
    ]),
  );
}

interface Row {
  readonly id: string;
  readonly attempts: number;
  readonly delivered: number;
  readonly exhausted: number;
  readonly stopped: number;
  readonly pending: number;
  readonly held: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly last_success_at: Date | null;
  readonly last_failure_at: Date | null;
}
