import { Type } from '@sinclair/typebox';
import { wordOf } from './envelopes.ts';
import { UnixSeconds } from './mail.ts';

export const GrantSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    provider: wordOf(['imap', 'google', 'microsoft']),
    grant_status: wordOf(['valid', 'invalid']),
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
