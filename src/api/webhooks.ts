import { type Static, Type } from '@sinclair/typebox';
import { wireId } from '../ids.ts';
import {
  createWebhook,
  deleteWebhook,
  getWebhook,
  listWebhooks,
  type SubscriptionDeps,
  updateWebhook,
  type Webhook,
} from '../notify/subscriptions.ts';
import { caller, type Routes } from './http.ts';

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

/** Webhook destinations: `/v3/webhooks` (contract 3.1). */
export function webhookRoutes(deps: SubscriptionDeps): Routes {
  return (http) => {
    http.post<Create>('/v3/webhooks', { schema: { body: CreateBody } }, async (request) => {
      const { body } = request;
      const { webhook, secret } = await createWebhook(deps, caller(request).app, {
        url: body.webhook_url,
        triggers: body.trigger_types,
        ...fromWire(body),
      });
      return { request_id: request.id, data: { ...toWire(webhook), webhook_secret: secret } };
    });

    http.get('/v3/webhooks', async (request) => {
      const webhooks = await listWebhooks(deps, caller(request).app);
      return { request_id: request.id, data: webhooks.map(toWire) };
    });

    http.get<One>('/v3/webhooks/:id', async (request) => {
      const webhook = await getWebhook(deps, caller(request).app, request.params.id);
      return { request_id: request.id, data: toWire(webhook) };
    });

    http.put<Update>('/v3/webhooks/:id', { schema: { body: UpdateBody } }, async (request) => {
      const { body } = request;
      const webhook = await updateWebhook(deps, caller(request).app, request.params.id, {
        ...(body.webhook_url === undefined ? {} : { url: body.webhook_url }),
        ...(body.trigger_types === undefined ? {} : { triggers: body.trigger_types }),
        ...(body.status === undefined ? {} : { status: body.status }),
        ...fromWire(body),
      });
      return { request_id: request.id, data: toWire(webhook) };
    });

    http.delete<One>('/v3/webhooks/:id', async (request) => {
      await deleteWebhook(deps, caller(request).app, request.params.id);
      return { request_id: request.id, data: { status: 'success' } };
    });
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

function seconds(at: Date): number {
  return Math.floor(at.getTime() / 1000);
}
