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
import { answer } from './respond.ts';

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

export interface WebhookRoutesDeps extends SubscriptionDeps {
  readonly destinations: Destinations;
  /** Where deliveries come from, as receivers see it: addresses and ranges, and since when it is so. */
  readonly outgoing: { readonly addresses: readonly string[]; readonly since: Date };
}

/** Webhook destinations: `/v3/webhooks` (contract 3.1). */
export function webhookRoutes(deps: WebhookRoutesDeps): Routes {
  return (http) => {
    http.post<Create>('/v3/webhooks', { schema: { body: CreateBody } }, async (request) => {
      const { webhook_url: address, trigger_types: triggers, ...rest } = request.body;
      const { subscription, secret } = await createSubscription(deps, caller(request).app, 'webhook', {
        address,
        triggers,
        ...fromWire(rest),
      });
      return answer(request, withSecret(subscription, secret));
    });

    http.get('/v3/webhooks', async (request) => {
      const webhooks = await listSubscriptions(deps, caller(request).app, 'webhook');
      return answer(request, webhooks.map(shown));
    });

    http.get('/v3/webhooks/ip-addresses', async (request) =>
      answer(request, {
        ip_addresses: deps.outgoing.addresses,
        updated_at: seconds(deps.outgoing.since),
      }),
    );

    http.post<Mock>('/v3/webhooks/mock-payload', { schema: { body: MockBody } }, async (request) =>
      answer(request, mockPayload(request.body.trigger_type, caller(request).applicationId)),
    );

    http.post<Test>('/v3/webhooks/send-test-event', { schema: { body: TestBody } }, async (request) => {
      const { trigger_type: trigger = 'message.opened', webhook_url: url } = request.body;
      const problem = await sendTestEvent(deps, { trigger, url, applicationId: caller(request).applicationId });
      if (problem !== null) throw new ApiError(400, '70005', `unable.send.test_event : ${problem}`);
      return answer(request, 'success');
    });

    http.get<One>('/v3/webhooks/:id', async (request) => {
      const webhook = await getSubscription(deps, caller(request).app, 'webhook', request.params.id);
      return answer(request, shown(webhook));
    });

    http.put<Update>('/v3/webhooks/:id', { schema: { body: UpdateBody } }, async (request) => {
      const { webhook_url: address, trigger_types: triggers, ...rest } = request.body;
      const webhook = await updateSubscription(deps, caller(request).app, 'webhook', request.params.id, {
        ...(address === undefined ? {} : { address }),
        ...(triggers === undefined ? {} : { triggers }),
        ...fromWire(rest),
      });
      return answer(request, shown(webhook));
    });

    http.delete<One>('/v3/webhooks/:id', async (request) => {
      await deleteSubscription(deps, caller(request).app, 'webhook', request.params.id);
      return answer(request, { status: 'success' });
    });

    const rotate = async (request: FastifyRequest<One>): Promise<object> => {
      const { subscription, secret } = await rotateSecret(deps, caller(request).app, request.params.id);
      return answer(request, withSecret(subscription, secret));
    };
    http.post<One>('/v3/webhooks/rotate-secret/:id', rotate);
    http.put<One>('/v3/webhooks/:id/rotate-secret', rotate); // what the Python SDK calls
  };
}

function shown(webhook: Subscription): Record<string, unknown> {
  return toWire('webhook', 'webhook_url', webhook);
}

/** Only where a secret was just made: it is shown once. */
function withSecret(webhook: Subscription, secret: string | null): Record<string, unknown> {
  return { ...shown(webhook), webhook_secret: secret };
}
