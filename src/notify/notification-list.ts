import { lowestId, weekOf } from '../db/partitions.ts';
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { uuidTime } from '../ids.ts';
import { readState } from './contents.ts';
import {
  type Delivery,
  type ListOrder,
  lastAttempt,
  pendingColumns,
  rangeOf,
  restingColumns,
  toldColumns,
  type Unread,
  withLastAttempt,
} from './delivery-list.ts';
import type { DestinationKind } from './destination.ts';
import { renderPayload } from './payloads.ts';
import { type Page, readPage, WINDOW } from './windows.ts';

export interface Notification {
  readonly notificationId: string;
  readonly trigger: string;
  readonly messageId: string | null;
  readonly grantId: string | null;
}

/** A delivery among others of its notification. */
export interface DeliveryTo extends Omit<Delivery, 'trigger' | 'messageId' | 'grantId'> {
  readonly destinationId: string;
  /** Null where the destination was deleted. */
  readonly kind: DestinationKind | null;
}

export interface NotificationInFull extends Notification {
  /** As it was sent last, to whomever; before the first attempt as it will be: JSON text. Null where it cannot be made any more. */
  readonly payload: string | null;
  /** Oldest destination first, deleted ones included. */
  readonly deliveries: readonly DeliveryTo[];
}

export interface NotificationOrder extends ListOrder {
  readonly grantId?: string | undefined;
}

type Fragment = ReturnType<Sql>;

const WEEK_MS = 7 * 24 * 60 * 60_000;

/** The notifications of an application, newest first. */
export async function listNotifications(sql: Sql, app: number, order: NotificationOrder): Promise<Page<Notification>> {
  const { messageId, grantId, triggers, limit } = order;
  const ofMessage: Fragment = messageId === undefined ? sql`` : sql`and n.message_id = ${messageId}`;
  return await transaction(sql, async (tx) => {
    // As long as the week's partition has no statistics a filter that leaves little makes the planner read all of the
    // week and sort it: 1.7 s of a million for the first page, 0.1 s so.
    await tx`select set_config('enable_bitmapscan', 'off', true)`;
    return await readPage(
      {
        async edge(range, rows) {
          if (messageId === undefined && triggers === undefined && grantId === undefined) return null;
          const [row] = await tx<{ id: string }[]>`
            select n.id from notifications n
            where n.app = ${app} and n.id >= ${range.from} and n.id < ${range.before} ${ofMessage}
            order by n.id desc offset ${rows - 1} limit 1`;
          return row?.id ?? null;
        },
        async read(range, most) {
          return await tx<Notification[]>`
            select * from (
              select n.id as "notificationId", ${toldColumns(sql)}
              from notifications n
              where n.app = ${app} and n.id >= ${range.from} and n.id < ${range.before} ${ofMessage}
              ${triggers === undefined ? sql`` : sql`and n.trigger = any(${[...triggers]}::text[])`}
              order by n.id desc limit ${grantId === undefined ? most : WINDOW}
            ) n
            ${grantId === undefined ? sql`` : sql`where "grantId" = ${grantId}`}
            order by "notificationId" desc limit ${most}`;
        },
      },
      rangeOf(order),
      limit,
    );
  });
}

/** One notification, its payload and where it went. Null where there is none. */
export async function readNotification(sql: Sql, app: number, id: string): Promise<NotificationInFull | null> {
  const [[notification], state, deliveries] = await Promise.all([
    sql<Notification[]>`
      select n.id as "notificationId", ${toldColumns(sql)}
      from notifications n where n.app = ${app} and n.id = ${id}`,
    readState(sql, app, id),
    readDeliveries(sql, app, id),
  ]);
  if (notification === undefined) return null;
  const [last] = deliveries
    .flatMap(({ lastAttempt: one }) => (one === null ? [] : [one]))
    .sort((a, b) => b.startedAt.getTime() - a.startedAt.getTime());
  const attempt = last?.attempt ?? 1;
  return { ...notification, payload: state === null ? null : renderPayload(state, attempt), deliveries };
}

/**
 * The key leads with the destination, and that of a deleted one stands nowhere else: so from destination to destination
 * through the index of the notification's own week.
 */
async function readDeliveries(sql: Sql, app: number, id: string): Promise<DeliveryTo[]> {
  const week = weekOf(uuidTime(id));
  const inWeek: Fragment = sql`
    d.app = ${app} and d.notification_id >= ${lowestId(week)} and d.notification_id < ${lowestId(week + WEEK_MS)}`;
  const ours: Fragment = sql`app = ${app} and notification_id = ${id}`;
  const rows = await sql<Unread<DeliveryTo>[]>`
    with recursive reached (destination_id) as (
      (select d.destination_id from deliveries d where ${inWeek} order by d.destination_id limit 1)
      union all
      select (
        select d.destination_id from deliveries d where ${inWeek} and d.destination_id > reached.destination_id
        order by d.destination_id limit 1)
      from reached where reached.destination_id is not null
    ), pending as (
      select ${pendingColumns(sql)} from pending_deliveries
      where ${ours} and destination_id in (select id from destinations where app = ${app})
    ), resting as (
      select ${restingColumns(sql)} from deliveries
      where ${ours} and destination_id in (select destination_id from reached)
    )
    select delivery.*, t.kind, last.*
    from (
      select * from pending
      union all
      select * from resting where "destinationId" not in (select "destinationId" from pending)
    ) delivery
    left join destinations t on t.app = ${app} and t.id = delivery."destinationId"
    left join lateral ${lastAttempt(sql, app)} last on true
    order by delivery."destinationId"`;
  return rows.map(withLastAttempt);
}
