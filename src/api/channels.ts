import { type Static, Type } from '@sinclair/typebox';
import { ApiError, invalid } from '../errors.ts';
import {
  createSubscription,
  deleteSubscription,
  getSubscription,
  listSubscriptions,
  type Subscription,
  type SubscriptionDeps,
  updateSubscription,
} from '../notify/subscriptions.ts';
import { changedDestination, fromWire, newDestination, toWire } from './destinations.ts';
import { caller, type Routes } from './http.ts';
import { operation } from './operation.ts';
import { answer } from './respond.ts';
import { ChannelSchema, Deleted } from './schemas/destinations.ts';
import { answerOf, listOf } from './schemas/envelopes.ts';

const address = { topic: Type.Optional(Type.String()), encryption_key: Type.Optional(Type.String()) };
const CreateBody = Type.Object({ ...address, ...newDestination });
const UpdateBody = Type.Object({ ...address, ...changedDestination });

type Create = { Body: Static<typeof CreateBody> };
type Update = { Body: Static<typeof UpdateBody>; Params: { id: string } };
type One = { Params: { id: string } };

const TAG = 'Pub/Sub channels';
const CHANNEL = { id: 'A channel: its id.' };
const OPERATIONS = {
  create: operation({
    id: 'createPubSubChannel',
    tag: TAG,
    summary: 'Make a channel',
    description: 'The topic must exist and take our messages.',
    body: CreateBody,
    example: { topic: 'projects/shop/topics/mail', trigger_types: ['message.opened'] },
    answers: { 200: answerOf(ChannelSchema) },
  }),
  list: operation({
    id: 'listPubSubChannels',
    tag: TAG,
    summary: 'List channels',
    answers: { 200: listOf(ChannelSchema) },
  }),
  get: operation({
    id: 'getPubSubChannel',
    tag: TAG,
    summary: 'Find a channel',
    params: CHANNEL,
    answers: { 200: answerOf(ChannelSchema) },
  }),
  update: operation({
    id: 'updatePubSubChannel',
    tag: TAG,
    summary: 'Change, pause or activate a channel',
    params: CHANNEL,
    body: UpdateBody,
    example: { status: 'pause' },
    answers: { 200: answerOf(ChannelSchema) },
  }),
  delete: operation({
    id: 'deletePubSubChannel',
    tag: TAG,
    summary: 'Delete a channel',
    params: CHANNEL,
    answers: { 200: answerOf(Deleted) },
  }),
};

/** Pub/Sub channels: `/v3/channels/pubsub` (contract 4). */
export function channelRoutes(deps: SubscriptionDeps): Routes {
  return (http) => {
    http.post<Create>('/v3/channels/pubsub', OPERATIONS.create, async (request) => {
      const { topic, encryption_key: key, trigger_types: triggers, ...rest } = request.body;
      if (topic === undefined || topic === '') {
        throw new ApiError(400, '70005', 'invalid.input.format : topic is required');
      }
      refuseEncryption(key);
      const { subscription } = await createSubscription(deps, caller(request).app, 'pubsub', {
        address: topic,
        triggers,
        ...fromWire(rest),
      });
      return answer(request, shown(subscription));
    });

    http.get('/v3/channels/pubsub', OPERATIONS.list, async (request) => {
      const channels = await listSubscriptions(deps, caller(request).app, 'pubsub');
      return answer(request, channels.map(shown));
    });

    http.get<One>('/v3/channels/pubsub/:id', OPERATIONS.get, async (request) => {
      const channel = await getSubscription(deps, caller(request).app, 'pubsub', request.params.id);
      return answer(request, shown(channel));
    });

    http.put<Update>('/v3/channels/pubsub/:id', OPERATIONS.update, async (request) => {
      const { topic, encryption_key: key, trigger_types: triggers, ...rest } = request.body;
      refuseEncryption(key);
      const channel = await updateSubscription(deps, caller(request).app, 'pubsub', request.params.id, {
        ...(topic === undefined ? {} : { address: topic }),
        ...(triggers === undefined ? {} : { triggers }),
        ...fromWire(rest),
      });
      return answer(request, shown(channel));
    });

    http.delete<One>('/v3/channels/pubsub/:id', OPERATIONS.delete, async (request) => {
      await deleteSubscription(deps, caller(request).app, 'pubsub', request.params.id);
      return answer(request, { status: 'success' });
    });
  };
}

/** Nylas documents no encryption for it; an empty key, as in its own example, asks for none. */
function refuseEncryption(key: string | undefined): void {
  if (key !== undefined && key !== '') throw invalid('encryption_key', 'must be empty: payloads are not encrypted');
}

function shown(channel: Subscription): Record<string, unknown> {
  return toWire('pubsub', 'topic', channel);
}
