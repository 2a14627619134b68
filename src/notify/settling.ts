import { retrying, type Sql } from '../db/pool.ts';
import { type Settlement, settle } from './pending.ts';

const AT_ONCE = 200;

interface Waiting {
  readonly settlement: Settlement;
  readonly resolve: (moved: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Settles together what ends while an earlier batch is being committed. Answers whether the delivery moved: false
 * where its claim had been lost.
 */
export function startSettling(deps: {
  readonly sql: Sql;
  readonly now: () => number;
}): (settlement: Settlement) => Promise<boolean> {
  let waiting: Waiting[] = [];
  let writing = false;

  const write = async (): Promise<void> => {
    writing = true;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, AT_ONCE);
      waiting = waiting.slice(AT_ONCE);
      const settlements = batch.map(({ settlement }) => settlement);
      try {
        const moved = await retrying(() => settle(deps.sql, settlements, new Date(deps.now())));
        for (const { settlement, resolve } of batch) resolve(moved.has(settlement));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    writing = false;
  };
  return (settlement) =>
    new Promise((resolve, reject) => {
      waiting.push({ settlement, resolve, reject });
      if (!writing) void write();
    });
}
