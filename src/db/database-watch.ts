import type { Sql } from './pool.ts';

export interface DatabaseWatch {
  /** Asks the server; true when it is not the one asked before (restarted, or another took over). */
  look(): Promise<boolean>;
  /** The database's clock in Unix milliseconds, carried on without asking. Only after a first {@link look}. */
  now(): number;
  /** Milliseconds since the last look that was answered. */
  age(): number;
}

/** What work that goes on for long has to know of the server behind the pool: its clock, and whether it is still the same one. */
export function watchDatabase(sql: Sql): DatabaseWatch {
  let startedAt: string | null = null;
  let clock = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;
  return {
    async look() {
      const [row] = await sql<{ now: Date; started_at: string }[]>`
        select clock_timestamp() as now, pg_postmaster_start_time()::text as started_at`;
      if (!row) return false;
      clock = row.now.getTime();
      lookedAt = performance.now(); // never jumps
      const changed = startedAt !== null && startedAt !== row.started_at;
      startedAt = row.started_at;
      return changed;
    },
    now: () => clock + (performance.now() - lookedAt),
    age: () => performance.now() - lookedAt,
  };
}
