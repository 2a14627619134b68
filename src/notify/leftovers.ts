// What was still to be delivered to a destination that was deleted.
import { isConnectionLost, retrying, type Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';

const AT_ONCE = 5_000;
const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

/**
 * Removes the queue of a deleted destination, 5,000 in a transaction, so that nobody waits long for their locks: a
 * million take about ten seconds. What is left where the database went away, `sweep` removes.
 */
export async function removePending(sql: Sql, app: number, destinationId: string): Promise<void> {
  let after: string | null = LOWEST_ID;
  while (after !== null) {
    const from: string = after; // not from the beginning: what was deleted there would be read again and again
    // Again after a deadlock: what is being settled locks the rows of its deliveries in an order of its own.
    const remove = async (): Promise<string | null> => {
      const rows = await transaction(
        sql,
        (tx) => tx<{ id: string }[]>`
          delete from pending_deliveries where app = ${app} and destination_id = ${destinationId}
            and notification_id = any(array(
              select notification_id from pending_deliveries
              where app = ${app} and destination_id = ${destinationId} and notification_id > ${from}
              order by notification_id limit ${AT_ONCE}))
          returning notification_id as id`,
      );
      return rows.reduce<string | null>((last, { id }) => (last === null || id > last ? id : last), null);
    };
    try {
      after = await retrying(remove);
    } catch (error) {
      if (isConnectionLost(error)) return;
      throw error;
    }
  }
}

/** Removes so many rows of such queues at most; answers how many there were. Steps from destination to destination. */
export async function sweep(sql: Sql, limit: number): Promise<number> {
  const gone = await sql`
    with recursive queue (app, destination_id) as (
      (select app, destination_id from pending_deliveries order by app, destination_id limit 1)
      union all
      select next.app, next.destination_id
      from queue q
      cross join lateral (
        select p.app, p.destination_id from pending_deliveries p
        where (p.app, p.destination_id) > (q.app, q.destination_id)
        order by p.app, p.destination_id limit 1
      ) next
    ), orphaned as (
      select p.app, p.destination_id, p.notification_id
      from queue q
      cross join lateral (
        select app, destination_id, notification_id from pending_deliveries
        where app = q.app and destination_id = q.destination_id
        limit ${limit}
      ) p
      where not exists (select from destinations d where d.app = q.app and d.id = q.destination_id)
      limit ${limit}
    )
    delete from pending_deliveries p using orphaned o
    where p.app = o.app and p.destination_id = o.destination_id and p.notification_id = o.notification_id`;
  return gone.count;
}
