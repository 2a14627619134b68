import { lowestId, weekOf } from '../db/partitions.ts';
import type { Sql } from '../db/pool.ts';
import { uuidTime } from '../ids.ts';
import { readState } from './contents.ts';
import {
  type Delivery,
  type ListOrder,
  messageEdge,
  pendingColumns,
  rangeOf,
  restingColumns,
  toldColumns,
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
  /** As it was last sent: JSON text. Null where it cannot be made any more. */
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
  return await readPage(
    {
      async edge(range, rows) {
        if (messageId !== undefined) return await messageEdge(sql, app, messageId, range, rows);
        if (triggers === undefined && grantId === undefined) return null;
        const [row] = await sql<{ id: string }[]>`
          select id from notifications where app = ${app} and id >= ${range.from} and id < ${range.before}
          order by id desc offset ${rows - 1} limit 1`;
        return row?.id ?? null;
      },
      async read(range, most) {
        return await sql<Notification[]>`
          select * from (
            select n.id as "notificationId", ${toldColumns(sql)}
            from notifications n
            where n.app = ${app} and n.id >= ${range.from} and n.id < ${range.before}
            ${messageId === undefined ? sql`` : sql`and n.message_id = ${messageId}`}
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
  const attempt = Math.max(1, ...deliveries.map(({ attempts }) => attempts));
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
  return await sql<DeliveryTo[]>`
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
    select delivery.*, t.kind
    from (
      select * from pending
      union all
      select * from resting where "destinationId" not in (select "destinationId" from pending)
    ) delivery
    left join destinations t on t.app = ${app} and t.id = delivery."destinationId"
    order by delivery."destinationId"`;
}
