// Webhooks and channels as they are answered: all members always (contract 7.6).
import { type TObject, type TProperties, Type } from '@sinclair/typebox';
import { TRIGGERS } from '../../notify/triggers.ts';
import { wordOf } from './envelopes.ts';
import { UnixSeconds } from './mail.ts';

export const Trigger = wordOf(TRIGGERS, { title: 'Trigger' });

export const WebhookSchema = destination('Webhook', 'webhook_url', {});
/** Secrets are shown once, where they were made. */
export const WebhookWithSecret = destination('WebhookWithSecret', 'webhook_url', {
  webhook_secret: Type.String({ description: 'The key of X-Nylas-Signature; shown only here.' }),
});
export const ChannelSchema = destination('PubSubChannel', 'topic', {});

export const Deleted = Type.Object({ status: Type.Literal('success') }, { title: 'Deleted' });

export const IpAddresses = Type.Object(
  { ip_addresses: Type.Array(Type.String()), updated_at: UnixSeconds },
  { title: 'IpAddresses' },
);

function destination(title: string, field: 'webhook_url' | 'topic', extra: TProperties): TObject {
  return Type.Object(
    {
      id: Type.String(),
      description: Type.String(),
      trigger_types: Type.Array(Trigger),
      [field]: Type.String(),
      status: wordOf(['active', 'failing', 'failed', 'paused']),
      notification_email_addresses: Type.Array(Type.String()),
      compressed_delivery: Type.Boolean(),
      status_updated_at: UnixSeconds,
      created_at: UnixSeconds,
      updated_at: UnixSeconds,
      ...extra,
    },
    { title },
  );
}
