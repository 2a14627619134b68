import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { wireId } from '../ids.ts';
import { rotateSecret } from '../notify/rotation.ts';
import {
  createWebhook,
  deleteWebhook,
  getWebhook,
  listWebhooks,
  type SubscriptionDeps,
  updateWebhook,
  type Webhook,
  type WebhookWithSecret,
} from '../notify/subscriptions.ts';
import { caller, type Routes } from './http.ts';
import { answer } from './respond.ts';

const settings = {
  description: Type.Optional(Type.String({ maxLength: 1024 })),
  notification_email_addresses: Type.Optional(
    Type.Array(Type.String({ minLength: 3, maxLength: 254, pattern: '^[^\\s@]+@[^\\s@]+$' }), {
      maxItems: 20,
    }),
  ),
  compressed_delivery: Type.Optional(Type.Boolean()),
};
const CreateBody = Type.Object({
  webhook_url: Type.String(),
  trigger_types: Type.Array(Type.String(), { minItems: 1 }),
  ...settings,
});
const UpdateBody = Type.Object({
  webhook_url: Type.Optional(Type.String()),
  trigger_types: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
  status: Type.Optional(Type.String()),
  ...settings,
});

type Create = { Body: Static<typeof CreateBody> };
type Update = { Body: Static<typeof UpdateBody>; Params: { id: string } };
type One = { Params: { id: string } };

export interface WebhookRoutesDeps extends SubscriptionDeps {
  /** Where deliveries come from, as receivers see it: addresses and ranges, and since when it is so. */
  readonly outgoing: { readonly addresses: readonly string[]; readonly since: Date };
}

/** Webhook destinations: `/v3/webhooks` (contract 3.1). */
export function webhookRoutes(deps: WebhookRoutesDeps): Routes {
  return (http) => {
    http.post<Create>('/v3/webhooks', { schema: { body: CreateBody } }, async (request) => {
      const { body } = request;
      const made = await createWebhook(deps, caller(request).app, {
        url: body.webhook_url,
        triggers: body.trigger_types,
        ...fromWire(body),
      });
      return answer(request, withSecret(made));
    });

    http.get('/v3/webhooks', async (request) => {
      const webhooks = await listWebhooks(deps, caller(request).app);
      return answer(request, webhooks.map(toWire));
    });

    http.get('/v3/webhooks/ip-addresses', async (request) =>
      answer(request, {
        ip_addresses: deps.outgoing.addresses,
        updated_at: seconds(deps.outgoing.since),
      }),
    );

    http.get<One>('/v3/webhooks/:id', async (request) => {
      const webhook = await getWebhook(deps, caller(request).app, request.params.id);
      return answer(request, toWire(webhook));
    });

    http.put<Update>('/v3/webhooks/:id', { schema: { body: UpdateBody } }, async (request) => {
      const { body } = request;
      const webhook = await updateWebhook(deps, caller(request).app, request.params.id, {
        ...(body.webhook_url === undefined ? {} : { url: body.webhook_url }),
        ...(body.trigger_types === undefined ? {} : { triggers: body.trigger_types }),
        ...(body.status === undefined ? {} : { status: body.status }),
        ...fromWire(body),
      });
      return answer(request, toWire(webhook));
    });

    http.delete<One>('/v3/webhooks/:id', async (request) => {
      await deleteWebhook(deps, caller(request).app, request.params.id);
      return answer(request, { status: 'success' });
    });

    const rotate = async (request: FastifyRequest<One>): Promise<object> =>
      answer(request, withSecret(await rotateSecret(deps, caller(request).app, request.params.id)));
    http.post<One>('/v3/webhooks/rotate-secret/:id', rotate);
    http.put<One>('/v3/webhooks/:id/rotate-secret', rotate); // what the Python SDK calls
  };
}

type Settings = Pick<Static<typeof UpdateBody>, 'description' | 'notification_email_addresses' | 'compressed_delivery'>;

function fromWire(body: Settings): Partial<Pick<Webhook, 'description' | 'notificationEmails' | 'compressed'>> {
  return {
    ...(body.description === undefined ? {} : { description: body.description }),
    ...(body.notification_email_addresses === undefined
      ? {}
      : { notificationEmails: body.notification_email_addresses }),
    ...(body.compressed_delivery === undefined ? {} : { compressed: body.compressed_delivery }),
  };
}

/** All members always: the Python and Java SDKs fail on a missing one (contract 7.6). */
function toWire(webhook: Webhook): Record<string, unknown> {
  return {
    id: wireId('wh', webhook.id),
    description: webhook.description,
    trigger_types: webhook.triggers,
    webhook_url: webhook.url,
    status: webhook.status,
    notification_email_addresses: webhook.notificationEmails,
    compressed_delivery: webhook.compressed,
    status_updated_at: seconds(webhook.statusUpdatedAt),
    created_at: seconds(webhook.createdAt),
    updated_at: seconds(webhook.updatedAt),
  };
}

/** Only where a secret was just made: it is shown once. */
function withSecret({ webhook, secret }: WebhookWithSecret): Record<string, unknown> {
  return { ...toWire(webhook), webhook_secret: secret };
}

function seconds(at: Date): number {
  return Math.floor(at.getTime() / 1000);
}
