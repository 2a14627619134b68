// What webhooks and channels share on the wire.
import { type Static, Type } from '@sinclair/typebox';
import type { DestinationKind } from '../notify/destination.ts';
import { nameOf } from '../notify/destination-rules.ts';
import type { Subscription, SubscriptionChanges } from '../notify/subscriptions.ts';

const settings = {
  status: Type.Optional(Type.String({ description: 'active, or pause (also paused, inactive)' })),
  description: Type.Optional(Type.String({ maxLength: 1024 })),
  notification_email_addresses: Type.Optional(
    Type.Array(Type.String({ minLength: 3, maxLength: 254, pattern: '^[^\\s@]+@[^\\s@]+$' }), {
      maxItems: 20,
    }),
  ),
  compressed_delivery: Type.Optional(Type.Boolean({ description: 'Whether payloads are compressed by gzip.' })),
};

const TRIGGERS = { minItems: 1, description: 'Names as those of Trigger.' };

export const newDestination = { trigger_types: Type.Array(Type.String(), TRIGGERS), ...settings };
export const changedDestination = {
  trigger_types: Type.Optional(Type.Array(Type.String(), TRIGGERS)),
  ...settings,
};

const Changes = Type.Object(changedDestination);

/** What stands in the body, address aside. */
export function fromWire(body: Static<typeof Changes>): Omit<SubscriptionChanges, 'address' | 'triggers'> {
  return {
    ...(body.status === undefined ? {} : { status: body.status }),
    ...(body.description === undefined ? {} : { description: body.description }),
    ...(body.notification_email_addresses === undefined
      ? {}
      : { notificationEmails: body.notification_email_addresses }),
    ...(body.compressed_delivery === undefined ? {} : { compressed: body.compressed_delivery }),
  };
}

/** All members always: the Python and Java SDKs fail on a missing one (contract 7.6). */
export function toWire(
  kind: DestinationKind,
  field: 'webhook_url' | 'topic',
  subscription: Subscription,
): Record<string, unknown> {
  return {
    id: nameOf(kind, subscription.id),
    description: subscription.description,
    trigger_types: subscription.triggers,
    [field]: subscription.address,
    status: subscription.status,
    notification_email_addresses: subscription.notificationEmails,
    compressed_delivery: subscription.compressed,
    status_updated_at: seconds(subscription.statusUpdatedAt),
    created_at: seconds(subscription.createdAt),
    updated_at: seconds(subscription.updatedAt),
  };
}

export function seconds(at: Date): number {
  return Math.floor(at.getTime() / 1000);
}
