// Deliveries that wait for their next attempt become due now, in the round they are in.
import { retrying, type Sql, type Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';

/** Rows that one transaction moves, and how many such windows a call looks at: two to four seconds of work. */
export const WINDOW = 5_000;
export const WINDOWS = 20;

export interface Target {
  readonly app: number;
  readonly destinationId: string;
  /** The database's, the same for all that one call makes due. */
  readonly now: Date;
}

type Fragment = ReturnType<Sql>;

const LOWEST_ID = '00000000-0000-0000-0000-000000000000';
const HIGHEST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/**
 * Those of a destination that `which`, a condition on `pending_deliveries d`, chooses and no attempt holds. Answers
 * their notifications, those that were due already included.
 */
export async function hasten(
  tx: Tx,
  { app, destinationId, now }: Target,
  which: Fragment,
): Promise<ReadonlySet<string>> {
  const rows = await tx<{ id: string }[]>`
    with waiting as materialized (
      select d.notification_id from pending_deliveries d
      where d.app = ${app} and d.destination_id = ${destinationId} and ${which}
        and (d.claimed_until is null or d.claimed_until <= ${now})
      order by d.notification_id
      for update
    )
    update pending_deliveries d set next_attempt_at = least(d.next_attempt_at, ${now})
    where d.app = ${app} and d.destination_id = ${destinationId}
      and d.notification_id = any(array(select notification_id from waiting))
    returning d.notification_id as id`;
  return new Set(rows.map(({ id }) => id));
}

/** All that wait for this destination, the oldest notifications first; looks at the first 100,000. */
export async function hastenAll(sql: Sql, app: number, destinationId: string): Promise<void> {
  let after = LOWEST_ID;
  for (let window = 0; window < WINDOWS; window++) {
    const last = await retrying(() =>
      transaction(sql, async (tx) => {
        const [row] = await tx<{ now: Date; last: string | null }[]>`
          select now() as now, (
            select notification_id from pending_deliveries
            where app = ${app} and destination_id = ${destinationId} and notification_id > ${after}
            order by notification_id offset ${WINDOW - 1} limit 1) as last`;
        if (row === undefined) return null;
        const { now, last } = row;
        const range: Fragment = tx`d.notification_id > ${after} and d.notification_id <= ${last ?? HIGHEST_ID}`;
        await hasten(tx, { app, destinationId, now }, tx`${range} and d.next_attempt_at > ${now}`);
        return last;
      }),
    );
    if (last === null) return;
    after = last;
  }
}
