// What went to a destination, attempt by attempt, and having it sent again: our own addition to v3.
import { type Static, Type } from '@sinclair/typebox';
import { ApiError, invalid } from '../errors.ts';
import { fromWireId, wireId } from '../ids.ts';
import { type DestinationCounters, readCounters } from '../notify/counters.ts';
import { DELIVERY_STATES, listDeliveries, readDelivery } from '../notify/delivery-list.ts';
import { destinationNotFound, parseTriggers } from '../notify/destination-rules.ts';
import {
  REPLAYABLE,
  type Refusal,
  type ReplayDeps,
  type Replayed,
  type ReplayOrder,
  replay,
  retryDelivery,
} from '../notify/replay.ts';
import { seconds } from './destinations.ts';
import {
  attemptToWire,
  deliveryToWire,
  LIST_PARAMETERS,
  nextCursor,
  readCursor,
  readListOrder,
  readTimes,
} from './history-wire.ts';
import { caller, type Routes } from './http.ts';
import { operation } from './operation.ts';
import { oneOf, readOwnQuery } from './query.ts';
import { answer } from './respond.ts';
import { Counters, DeliveryInFull, DeliverySchema, Replayed as ReplayedSchema } from './schemas/deliveries.ts';
import { answerOf, listOf, NEXT_CURSOR, wordOf } from './schemas/envelopes.ts';

export interface DeliveryRoutesDeps extends ReplayDeps {
  /** Where the destinations are: `/v3/webhooks`. */
  readonly base: keyof typeof KINDS;
  /** The destination of this application with this wire id; refuses an unknown one. */
  readonly find: (app: number, name: string) => Promise<{ readonly id: string }>;
}

const Second = Type.Optional(Type.Integer({ minimum: 0, description: 'Unix seconds' }));
const ReplayBody = Type.Object(
  {
    since: Second,
    until: Second,
    states: Type.Optional(Type.Array(wordOf(REPLAYABLE), { minItems: 1 })),
    trigger_types: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
    page_token: Type.Optional(Type.String()),
    notification_ids: Type.Optional(Type.Array(Type.String(), { minItems: 1, maxItems: 1000 })),
  },
  { additionalProperties: false },
);

type Body = Static<typeof ReplayBody>;
type One = { Params: { id: string } };
type OneDelivery = { Params: { id: string; notification_id: string } };

const RANGE_ONLY = ['since', 'until', 'states', 'trigger_types', 'page_token'] as const;
const NO_DELIVERY = 'Notification not found: nothing of this id was or is to be delivered here.';

const LIST = {
  state: oneOf(DELIVERY_STATES, { description: 'Only those that stand so' }),
  ...LIST_PARAMETERS,
};
const KINDS = {
  '/v3/webhooks': { tag: 'Webhooks', name: 'Webhook', one: 'a webhook' },
  '/v3/channels/pubsub': { tag: 'Pub/Sub channels', name: 'PubSubChannel', one: 'a channel' },
} as const;

function operationsOf(
  base: keyof typeof KINDS,
): Record<'replay' | 'counters' | 'list' | 'get' | 'retry', ReturnType<typeof operation>> {
  const { tag, name, one } = KINDS[base];
  const destination = { id: `${one[0]?.toUpperCase()}${one.slice(1)}: its id.` };
  const delivery = { ...destination, notification_id: 'A notification: its id.' };
  return {
    replay: operation({
      id: `replay${name}`,
      tag,
      summary: `Deliver again to ${one}`,
      description: 'Either notification_ids, or since and what else narrows the range.',
      params: destination,
      query: {},
      body: ReplayBody,
      example: { since: 1795297551, states: ['held', 'exhausted'] },
      answers: { 200: answerOf(ReplayedSchema, NEXT_CURSOR) },
    }),
    counters: operation({
      id: `count${name}Deliveries`,
      tag,
      summary: `Count the deliveries to ${one}`,
      params: destination,
      query: {},
      answers: { 200: answerOf(Counters) },
    }),
    list: operation({
      id: `list${name}Deliveries`,
      tag,
      summary: `List the deliveries to ${one}, newest first`,
      params: destination,
      query: LIST,
      answers: { 200: listOf(DeliverySchema, NEXT_CURSOR) },
    }),
    get: operation({
      id: `get${name}Delivery`,
      tag,
      summary: `Find a delivery to ${one}, attempt by attempt`,
      params: delivery,
      query: {},
      answers: { 200: answerOf(DeliveryInFull) },
    }),
    retry: operation({
      id: `retry${name}Delivery`,
      tag,
      summary: `Deliver one notification to ${one} again at once`,
      params: delivery,
      query: {},
      answers: { 200: answerOf(DeliveryInFull) },
    }),
  };
}

/** Deliveries of the destinations below `base`. */
export function deliveryRoutes(deps: DeliveryRoutesDeps): Routes {
  const { sql, base, find } = deps;

  const shown = async (app: number, destinationId: string, notificationId: string): Promise<object> => {
    const found = await readDelivery(sql, app, destinationId, notificationId);
    if (found === null) throw noDelivery();
    return { ...deliveryToWire(found.delivery), attempts: found.attempts.map(attemptToWire) };
  };

  const operations = operationsOf(base);
  return (http) => {
    http.post<One & { Body: Body }>(`${base}/:id/replay`, operations.replay, async (request) => {
      const { app } = caller(request);
      readOwnQuery(request, {});
      const { id } = await find(app, request.params.id);
      const replayed = await replay(deps, app, id, readOrder(request.body));
      if (replayed.kind !== 'replayed') throw refusalOf(replayed);
      return answer(request, replayedToWire(replayed), nextCursor(replayed));
    });

    http.get<One>(`${base}/:id/counters`, operations.counters, async (request) => {
      const { app } = caller(request);
      readOwnQuery(request, {});
      const { id } = await find(app, request.params.id);
      const counters = await readCounters({ sql }, app, [id]);
      return answer(request, countersToWire(counters.get(id)));
    });

    http.get<One>(`${base}/:id/deliveries`, operations.list, async (request) => {
      const { app } = caller(request);
      const { id } = await find(app, request.params.id);
      const query = readOwnQuery(request, LIST);
      const order = { ...readListOrder(query), state: query.state };
      const page = await listDeliveries(sql, app, id, order);
      return answer(request, page.items.map(deliveryToWire), nextCursor(page));
    });

    http.get<OneDelivery>(`${base}/:id/deliveries/:notification_id`, operations.get, async (request) => {
      const { app } = caller(request);
      readOwnQuery(request, {});
      const { id } = await find(app, request.params.id);
      return answer(request, await shown(app, id, readNotificationId(request.params.notification_id)));
    });

    http.post<OneDelivery>(`${base}/:id/deliveries/:notification_id/retry`, operations.retry, async (request) => {
      const { app } = caller(request);
      readOwnQuery(request, {});
      const { id } = await find(app, request.params.id);
      const notificationId = readNotificationId(request.params.notification_id);
      const retried = await retryDelivery(deps, app, id, notificationId);
      if (retried.kind === 'unknown' || retried.kind === 'not_served') throw refusalOf(retried);
      if (retried.kind === 'no_delivery') throw noDelivery();
      if (retried.kind === 'gone')
        throw invalid('notification_id', 'can no longer be sent: what it tells of was erased');
      return answer(request, await shown(app, id, notificationId));
    });
  };
}

function readOrder(body: Body): ReplayOrder {
  const { notification_ids: names, since, until, states, trigger_types: triggers, page_token: token } = body;
  if (names !== undefined) {
    const other = RANGE_ONLY.find((name) => body[name] !== undefined);
    if (other !== undefined) throw invalid(other, 'must not stand beside notification_ids');
    return { ids: [...new Set(names.map(readListed))] };
  }
  if (since === undefined) throw invalid('since', 'is required where there are no notification_ids');
  const after = readCursor(token);
  const times = readTimes(since, until);
  return {
    since: since * 1000,
    until: times.until,
    states,
    triggers: triggers === undefined ? undefined : parseTriggers(triggers),
    after,
  };
}

function readListed(name: string, index: number): string {
  const id = fromWireId('ntf', name);
  if (id === null) throw invalid(`notification_ids[${index}]`, 'is not the id of a notification');
  return id;
}

/** One that cannot be is none that there is. */
function readNotificationId(name: string): string {
  const id = fromWireId('ntf', name);
  if (id === null) throw noDelivery();
  return id;
}

function noDelivery(): ApiError {
  return new ApiError(404, 'api.not_found_error', NO_DELIVERY);
}

function refusalOf(refusal: Refusal): ApiError {
  if (refusal.kind === 'unknown') return destinationNotFound();
  return invalid('status', `is ${refusal.status}: activate it first`);
}

function replayedToWire({ queued, gone, left }: Replayed): object {
  return {
    queued,
    gone,
    not_queued: left.map(({ id, why }) => ({ notification_id: wireId('ntf', id), reason: why })),
  };
}

function countersToWire(counters: DestinationCounters | undefined): object {
  if (counters === undefined) throw new Error('no counters for the destination asked for');
  const { last24h, lastSuccessAt, lastFailureAt, ...counted } = counters;
  return {
    ...counted,
    last_24_hours: last24h,
    last_success_at: lastSuccessAt === null ? null : seconds(lastSuccessAt),
    last_failure_at: lastFailureAt === null ? null : seconds(lastFailureAt),
  };
}
