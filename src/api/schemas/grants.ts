import { Type } from '@sinclair/typebox';
import { UnixSeconds } from './mail.ts';

export const GrantSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    provider: Type.Union([Type.Literal('imap'), Type.Literal('google'), Type.Literal('microsoft')]),
    grant_status: Type.Union([Type.Literal('valid'), Type.Literal('invalid')]),
    email: Type.String(),
    email_aliases: Type.Optional(Type.Array(Type.String())),
    name: Type.Optional(Type.String()),
    state: Type.Optional(Type.String({ description: 'As it was given to connect; in that answer only.' })),
    settings: Type.Unsafe<object>({
      type: 'object',
      additionalProperties: true,
      description: 'How the mailbox is reached, without its secrets.',
    }),
    scope: Type.Array(Type.String()),
    created_at: UnixSeconds,
    updated_at: UnixSeconds,
  },
  { title: 'Grant' },
);
