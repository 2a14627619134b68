import { watchDatabase } from '../db/database-watch.ts';
import type { Sql } from '../db/pool.ts';

/** The time that claims, waits and ids are made of. */
export interface Clock {
  /** Unix milliseconds. Only after a first `keep`. */
  now(): number;
  /** Sees to it that the clock is right; costs a query once a minute. */
  keep(): Promise<void>;
}

const LOOK_EVERY_MS = 60_000;

/** The database's clock: one for all processes, so that one whose own clock is wrong takes no claim from another. */
export function databaseClock(sql: Sql): Clock {
  const database = watchDatabase(sql);
  return {
    now: () => Math.round(database.now()),
    async keep() {
      if (database.age() >= LOOK_EVERY_MS) await database.look();
    },
  };
}
