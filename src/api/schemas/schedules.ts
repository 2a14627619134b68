import { Type } from '@sinclair/typebox';
import { wordOf } from './envelopes.ts';
import { UnixSeconds } from './mail.ts';

export const SCHEDULE_CODES = ['pending', 'sending', 'success', 'failed', 'cancelled'] as const;

export const ScheduledMessage = Type.Object(
  {
    schedule_id: Type.String({ format: 'uuid' }),
    status: Type.Object({
      code: wordOf(SCHEDULE_CODES),
      description: Type.String({ description: 'For people; of a failure it says why.' }),
    }),
    close_time: Type.Optional(
      Type.Integer({ description: 'Unix seconds; when it was sent, failed or was cancelled.' }),
    ),
    send_at: UnixSeconds,
    message_id: Type.String({ description: 'The id under which its opens, clicks and replies are told.' }),
  },
  { title: 'ScheduledMessage' },
);
