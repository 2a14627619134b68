import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../errors.ts';
import type { Destinations } from '../notify/destination.ts';
import { rotateSecret } from '../notify/rotation.ts';
import {
  createSubscription,
  deleteSubscription,
  getSubscription,
  listSubscriptions,
  type Subscription,
  type SubscriptionDeps,
  updateSubscription,
} from '../notify/subscriptions.ts';
import { mockPayload, sendTestEvent } from '../notify/test-event.ts';
import { changedDestination, fromWire, newDestination, seconds, toWire } from './destinations.ts';
import { caller, type Routes } from './http.ts';
import { operation } from './operation.ts';
import { answer } from './respond.ts';
import { Deleted, IpAddresses, WebhookSchema, WebhookWithSecret } from './schemas/destinations.ts';
import { answerOf, listOf } from './schemas/envelopes.ts';

const CreateBody = Type.Object({ webhook_url: Type.String(), ...newDestination });
const UpdateBody = Type.Object({ webhook_url: Type.Optional(Type.String()), ...changedDestination });
const MockBody = Type.Object({ trigger_type: Type.String() });
// Nylas's own command line sends no trigger, though its OpenAPI demands one.
const TestBody = Type.Object({ trigger_type: Type.Optional(Type.String()), webhook_url: Type.String() });

type Create = { Body: Static<typeof CreateBody> };
type Update = { Body: Static<typeof UpdateBody>; Params: { id: string } };
type Mock = { Body: Static<typeof MockBody> };
type Test = { Body: Static<typeof TestBody> };
type One = { Params: { id: string } };

const WEBHOOK = { id: 'A webhook: its id.' };
const ROTATED = {
  tag: 'Webhooks',
  params: WEBHOOK,
  answers: { 200: answerOf(WebhookWithSecret) },
} as const;

const OPERATIONS = {
  create: operation({
    id: 'createWebhook',
    tag: 'Webhooks',
    summary: 'Make a webhook',
    description: 'Its address is challenged first: it has to answer the challenge within ten seconds.',
    body: CreateBody,
    example: { webhook_url: 'https://app.example.com/hook', trigger_types: ['message.opened', 'message.link_clicked'] },
    answers: { 200: answerOf(WebhookWithSecret) },
  }),
  list: operation({
    id: 'listWebhooks',
    tag: 'Webhooks',
    summary: 'List webhooks',
    answers: { 200: listOf(WebhookSchema) },
  }),
  addresses: operation({
    id: 'getIpAddresses',
    tag: 'Webhooks',
    summary: 'From where deliveries come',
    answers: { 200: answerOf(IpAddresses) },
  }),
  mock: operation({
    id: 'getMockPayload',
    tag: 'Webhooks',
    summary: 'Show an example of a notification',
    body: MockBody,
    example: { trigger_type: 'message.opened' },
    answers: {
      200: answerOf(Type.Unsafe<object>({ type: 'object', additionalProperties: true, description: 'The payload.' })),
    },
  }),
  test: operation({
    id: 'sendTestEvent',
    tag: 'Webhooks',
    summary: 'Send an example of a notification',
    body: TestBody,
    example: { webhook_url: 'https://app.example.com/hook', trigger_type: 'message.opened' },
    answers: { 200: answerOf(Type.Literal('success')) },
  }),
  get: operation({
    id: 'getWebhook',
    tag: 'Webhooks',
    summary: 'Find a webhook',
    params: WEBHOOK,
    answers: { 200: answerOf(WebhookSchema) },
  }),
  update: operation({
    id: 'updateWebhook',
    tag: 'Webhooks',
    summary: 'Change, pause or activate a webhook',
    params: WEBHOOK,
    body: UpdateBody,
    example: { status: 'pause' },
    answers: { 200: answerOf(WebhookSchema) },
  }),
  delete: operation({
    id: 'deleteWebhook',
    tag: 'Webhooks',
    summary: 'Delete a webhook',
    params: WEBHOOK,
    answers: { 200: answerOf(Deleted) },
  }),
  rotate: operation({ id: 'rotateWebhookSecret', summary: 'Make a new secret', ...ROTATED }),
  rotateByPut: operation({
    id: 'rotateWebhookSecretByPut',
    summary: 'Make a new secret, as the Python SDK calls it',
    ...ROTATED,
  }),
};

export interface WebhookRoutesDeps extends SubscriptionDeps {
  readonly destinations: Destinations;
  /** Where deliveries come from, as receivers see it: addresses and ranges, and since when it is so. */
  readonly outgoing: { readonly addresses: readonly string[]; readonly since: Date };
}

/** Webhook destinations: `/v3/webhooks` (contract 3.1). */
export function webhookRoutes(deps: WebhookRoutesDeps): Routes {
  return (http) => {
    http.post<Create>('/v3/webhooks', OPERATIONS.create, async (request) => {
      const { webhook_url: address, trigger_types: triggers, ...rest } = request.body;
      const { subscription, secret } = await createSubscription(deps, caller(request).app, 'webhook', {
        address,
        triggers,
        ...fromWire(rest),
      });
      return answer(request, withSecret(subscription, secret));
    });

    http.get('/v3/webhooks', OPERATIONS.list, async (request) => {
      const webhooks = await listSubscriptions(deps, caller(request).app, 'webhook');
      return answer(request, webhooks.map(shown));
    });

    http.get('/v3/webhooks/ip-addresses', OPERATIONS.addresses, async (request) =>
      answer(request, {
        ip_addresses: deps.outgoing.addresses,
        updated_at: seconds(deps.outgoing.since),
      }),
    );

    http.post<Mock>('/v3/webhooks/mock-payload', OPERATIONS.mock, async (request) =>
      answer(request, mockPayload(request.body.trigger_type, caller(request).applicationId)),
    );

    http.post<Test>('/v3/webhooks/send-test-event', OPERATIONS.test, async (request) => {
      const { trigger_type: trigger = 'message.opened', webhook_url: url } = request.body;
      const problem = await sendTestEvent(deps, { trigger, url, applicationId: caller(request).applicationId });
      if (problem !== null) throw new ApiError(400, '70005', `unable.send.test_event : ${problem}`);
      return answer(request, 'success');
    });

    http.get<One>('/v3/webhooks/:id', OPERATIONS.get, async (request) => {
      const webhook = await getSubscription(deps, caller(request).app, 'webhook', request.params.id);
      return answer(request, shown(webhook));
    });

    http.put<Update>('/v3/webhooks/:id', OPERATIONS.update, async (request) => {
      const { webhook_url: address, trigger_types: triggers, ...rest } = request.body;
      const webhook = await updateSubscription(deps, caller(request).app, 'webhook', request.params.id, {
        ...(address === undefined ? {} : { address }),
        ...(triggers === undefined ? {} : { triggers }),
        ...fromWire(rest),
      });
      return answer(request, shown(webhook));
    });

    http.delete<One>('/v3/webhooks/:id', OPERATIONS.delete, async (request) => {
      await deleteSubscription(deps, caller(request).app, 'webhook', request.params.id);
      return answer(request, { status: 'success' });
    });

    const rotate = async (request: FastifyRequest<One>): Promise<object> => {
      const { subscription, secret } = await rotateSecret(deps, caller(request).app, request.params.id);
      return answer(request, withSecret(subscription, secret));
    };
    http.post<One>('/v3/webhooks/rotate-secret/:id', OPERATIONS.rotate, rotate);
    http.put<One>('/v3/webhooks/:id/rotate-secret', OPERATIONS.rotateByPut, rotate); // what the Python SDK calls
  };
}

function shown(webhook: Subscription): Record<string, unknown> {
  return toWire('webhook', 'webhook_url', webhook);
}

/** Only where a secret was just made: it is shown once. */
function withSecret(webhook: Subscription, secret: string | null): Record<string, unknown> {
  return { ...shown(webhook), webhook_secret: secret };
}
