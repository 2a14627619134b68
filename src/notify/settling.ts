import { retrying, type Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import { failureOf } from '../tracking/failure.ts';
import { namesOf, type Settlement, settle, settleUnrecorded } from './pending.ts';

const AT_ONCE = 200;

export interface SettlingDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'info' | 'error'>;
  readonly clock: { now(): number };
}

interface Waiting {
  readonly settlement: Settlement;
  readonly resolve: (moved: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Settles together what ends while an earlier batch is being committed. Answers whether the delivery moved: false
 * where its claim had been lost. One that cannot be stored costs only its own history.
 */
export function startSettling(deps: SettlingDeps): (settlement: Settlement) => Promise<boolean> {
  let waiting: Waiting[] = [];
  let writing = false;

  const write = async (): Promise<void> => {
    writing = true;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, AT_ONCE);
      waiting = waiting.slice(AT_ONCE);
      await settleAll(deps, batch);
    }
    writing = false;
  };
  return (settlement) =>
    new Promise((resolve, reject) => {
      waiting.push({ settlement, resolve, reject });
      if (!writing) void write();
    });
}

async function settleAll(deps: SettlingDeps, batch: readonly Waiting[]): Promise<void> {
  const settlements = batch.map(({ settlement }) => settlement);
  try {
    const moved = await retrying(() => settle(deps.sql, settlements, new Date(deps.clock.now())));
    for (const { settlement, resolve } of batch) resolve(moved.has(settlement));
  } catch (error) {
    const [only, ...others] = batch;
    if (only === undefined) return;
    if (failureOf(error).kind === 'wait') {
      for (const { reject } of batch) reject(error);
    } else if (others.length > 0) {
      for (const one of batch) await settleAll(deps, [one]);
    } else {
      await giveUpHistory(deps, only, error);
    }
  }
}

async function giveUpHistory(
  deps: SettlingDeps,
  { settlement, resolve, reject }: Waiting,
  err: unknown,
): Promise<void> {
  const { claim, outcome, verdict } = settlement;
  // Nothing to keep a history of where the notification itself was pruned.
  const level = outcome.kind === 'gone' ? 'info' : 'error';
  deps.log[level](
    { err, delivery: namesOf(claim), outcome: outcome.kind, status: outcome.status, verdict },
    'delivery.unrecorded',
  );
  await retrying(() => settleUnrecorded(deps.sql, settlement)).then(resolve, reject);
}
