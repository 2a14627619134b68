import { gather } from '../db/gather.ts';
import { retrying, type Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import { failureOf } from '../tracking/failure.ts';
import { namesOf } from './claiming.ts';
import { type Settlement, settle, settleUnrecorded } from './pending.ts';

const AT_ONCE = 200;
// What was answered while the database was away is kept for so long: forgotten, it would be sent again.
const KEPT_MS = 60_000;

export interface SettlingDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'info' | 'error'>;
  readonly clock: { now(): number };
}

/**
 * Settles together what ends while an earlier batch is being committed. Answers whether the delivery moved: false
 * where its claim had been lost. One that cannot be stored costs only its own history.
 */
export function startSettling(deps: SettlingDeps): (settlement: Settlement) => Promise<boolean> {
  const isTheirs = (error: unknown): boolean => !(error instanceof Left) && failureOf(error).kind !== 'wait';
  return gather<Settlement, boolean>({
    atOnce: AT_ONCE,
    isTheirs,
    async run(settlements) {
      try {
        const moved = await retrying(
          () => settle(deps.sql, settlements, new Date(deps.clock.now())).catch(endOfPool),
          KEPT_MS,
        );
        return settlements.map((settlement) => moved.has(settlement));
      } catch (error) {
        const [only, ...others] = settlements;
        if (only === undefined || others.length > 0 || !isTheirs(error)) throw error;
        return [await giveUpHistory(deps, only, error)];
      }
    },
  });
}

/** We have closed the pool ourselves: nothing will come back that is worth a wait. */
function endOfPool(error: unknown): never {
  if (Reflect.get(Object(error), 'code') !== 'CONNECTION_ENDED') throw error;
  throw new Left('the database was left', { cause: error });
}

class Left extends Error {}

async function giveUpHistory(deps: SettlingDeps, settlement: Settlement, err: unknown): Promise<boolean> {
  const { claim, outcome, verdict } = settlement;
  // Nothing to keep a history of where the notification itself was pruned.
  const level = outcome.kind === 'gone' ? 'info' : 'error';
  deps.log[level](
    { err, delivery: namesOf(claim), outcome: outcome.kind, status: outcome.status, verdict },
    'delivery.unrecorded',
  );
  return await retrying(() => settleUnrecorded(deps.sql, settlement));
}
