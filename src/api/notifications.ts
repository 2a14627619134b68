// What was told, whomever: our own addition to v3.
import type { Sql } from '../db/pool.ts';
import { ApiError, invalid } from '../errors.ts';
import { fromWireId, isUuid, wireId } from '../ids.ts';
import { nameOf } from '../notify/destination-rules.ts';
import {
  type DeliveryTo,
  listNotifications,
  type Notification,
  readNotification,
} from '../notify/notification-list.ts';
import { LIST_PARAMETERS, nextCursor, readListOrder, standingToWire, subjectToWire } from './history-wire.ts';
import { caller, type Routes } from './http.ts';
import { operation } from './operation.ts';
import { readOwnQuery, text } from './query.ts';
import { answer } from './respond.ts';
import { NotificationInFull, NotificationSchema } from './schemas/deliveries.ts';
import { answerOf, listOf, NEXT_CURSOR } from './schemas/envelopes.ts';

type One = { Params: { id: string } };

const LIST = { grant_id: text('Only what was told of this grant'), ...LIST_PARAMETERS };

const OPERATIONS = {
  list: operation({
    id: 'listNotifications',
    tag: 'Notifications',
    summary: 'List notifications, newest first',
    query: LIST,
    answers: { 200: listOf(NotificationSchema, NEXT_CURSOR) },
  }),
  get: operation({
    id: 'getNotification',
    tag: 'Notifications',
    summary: 'Find a notification, its payload and where it went',
    params: { id: 'A notification: the id of its payload.' },
    query: {},
    answers: { 200: answerOf(NotificationInFull) },
  }),
};

/** `/v3/notifications`. */
export function notificationRoutes({ sql }: { readonly sql: Sql }): Routes {
  return (http) => {
    http.get('/v3/notifications', OPERATIONS.list, async (request) => {
      const query = readOwnQuery(request, LIST);
      const page = await listNotifications(sql, caller(request).app, {
        ...readListOrder(query),
        grantId: readGrantId(query.grant_id),
      });
      return answer(request, page.items.map(toWire), nextCursor(page));
    });

    http.get<One>('/v3/notifications/:id', OPERATIONS.get, async (request) => {
      readOwnQuery(request, {});
      const id = fromWireId('ntf', request.params.id);
      const found = id === null ? null : await readNotification(sql, caller(request).app, id);
      if (found === null) throw new ApiError(404, 'api.not_found_error', 'Notification not found.');
      const payload: unknown = found.payload === null ? null : JSON.parse(found.payload);
      return answer(request, { ...toWire(found), payload, deliveries: found.deliveries.map(deliveryToWire) });
    });
  };
}

function readGrantId(text: string | undefined): string | undefined {
  const id = text?.toLowerCase();
  if (id !== undefined && !isUuid(id)) throw invalid('grant_id', 'is not the id of a grant');
  return id;
}

function toWire(notification: Notification): object {
  return { id: wireId('ntf', notification.notificationId), ...subjectToWire(notification) };
}

/** Of a deleted destination nobody knows the kind any more: it is named like a webhook. */
function deliveryToWire(delivery: DeliveryTo): object {
  return {
    destination_id: nameOf(delivery.kind ?? 'webhook', delivery.destinationId),
    destination_type: delivery.kind,
    ...standingToWire(delivery),
  };
}
