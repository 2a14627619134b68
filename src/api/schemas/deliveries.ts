// Notifications, deliveries and attempts as they are answered: our own addition to v3, so null is said where it is meant.
import { Type } from '@sinclair/typebox';
import { DELIVERY_STATES } from '../../notify/delivery-list.ts';
import { Trigger } from './destinations.ts';
import { orNull, wordOf } from './envelopes.ts';
import { UnixSeconds } from './mail.ts';

const subject = {
  trigger_type: Trigger,
  message_id: orNull(Type.String()),
  grant_id: orNull(Type.String()),
  created_at: UnixSeconds,
};
const standing = {
  state: wordOf(DELIVERY_STATES),
  round: Type.Integer({ description: 'Rises each time it is queued again.' }),
  attempt_count: Type.Integer(),
  next_attempt_at: orNull(UnixSeconds),
  settled_at: orNull(UnixSeconds),
  last_attempt: orNull(
    Type.Object({
      outcome: Type.String(),
      status_code: orNull(Type.Integer()),
      started_at: UnixSeconds,
    }),
  ),
};
const delivery = { notification_id: Type.String(), ...subject, ...standing };

export const DeliverySchema = Type.Object(delivery, { title: 'Delivery' });

const AttemptSchema = Type.Object(
  {
    round: Type.Integer(),
    attempt: Type.Integer({ description: 'From 1 in each round.' }),
    outcome: Type.String(),
    status_code: orNull(Type.Integer()),
    answer: Type.String({ description: 'The first bytes of the answer, or why there was none.' }),
    started_at: UnixSeconds,
    duration_ms: Type.Integer(),
  },
  { title: 'Attempt' },
);

export const DeliveryInFull = Type.Object(
  { ...delivery, attempts: Type.Array(AttemptSchema) },
  { title: 'DeliveryInFull' },
);

const notification = { id: Type.String(), ...subject };

export const NotificationSchema = Type.Object(notification, { title: 'Notification' });

export const NotificationInFull = Type.Object(
  {
    ...notification,
    payload: orNull(
      Type.Unsafe<object>({ type: 'object', additionalProperties: true, description: 'As it was sent last.' }),
    ),
    deliveries: Type.Array(
      Type.Object({
        destination_id: Type.String(),
        destination_type: orNull(wordOf(['webhook', 'pubsub'])),
        ...standing,
      }),
    ),
  },
  { title: 'NotificationInFull' },
);

export const Replayed = Type.Object(
  {
    queued: Type.Integer(),
    gone: Type.Integer({ description: 'What they tell of was erased.' }),
    not_queued: Type.Array(Type.Object({ notification_id: Type.String(), reason: Type.String() })),
  },
  { title: 'Replayed' },
);

export const Counters = Type.Object(
  {
    attempts: Type.Integer(),
    delivered: Type.Integer(),
    exhausted: Type.Integer(),
    stopped: Type.Integer(),
    pending: Type.Integer({ description: 'Now; 10,000 means so many or more.' }),
    held: Type.Integer({ description: 'Now; 10,000 means so many or more.' }),
    last_24_hours: Type.Object({ succeeded: Type.Integer(), failed: Type.Integer() }),
    last_success_at: orNull(UnixSeconds),
    last_failure_at: orNull(UnixSeconds),
  },
  { title: 'Counters' },
);
