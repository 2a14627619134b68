import { type Static, Type } from '@sinclair/typebox';
import { invalid } from '../errors.ts';
import { type ConnectDeps, connectImap } from '../grants/connect.ts';
import { type Grant, toWire } from '../grants/grants.ts';
import type { Warning } from '../send/outgoing.ts';
import { caller, type Routes } from './http.ts';
import { oneLine } from './mail-fields.ts';
import { operation } from './operation.ts';
import { answer } from './respond.ts';
import { answerOf, WARNINGS } from './schemas/envelopes.ts';
import { GrantSchema } from './schemas/grants.ts';

const Body = Type.Object({
  provider: Type.String({ description: 'imap' }),
  settings: Type.Record(Type.String(), Type.Unknown(), {
    description:
      'How the mailbox is reached: imap_username, imap_password, imap_host, imap_port, imap_security, smtp_username, smtp_password, smtp_host, smtp_port, smtp_security, email, email_aliases, watch_folders, oauth.',
  }),
  name: Type.Optional(Type.String({ maxLength: 256 })),
  scope: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 100 })),
  state: Type.Optional(Type.String({ maxLength: 256, description: 'Stands in the answer again.' })),
});

const CONNECT = operation({
  id: 'connectMailbox',
  tag: 'Grants',
  summary: 'Connect a mailbox by its credentials',
  description:
    'The credentials are tried on both servers before anything is stored. An address has one grant per application: connecting it again authenticates the grant anew and keeps its id.',
  body: Body,
  example: {
    provider: 'imap',
    settings: {
      imap_username: 'nyla@shop.example',
      imap_password: '…',
      imap_host: 'imap.shop.example',
      smtp_host: 'smtp.shop.example',
    },
  },
  answers: { 201: answerOf(GrantSchema, WARNINGS) },
});

type Connect = { Body: Static<typeof Body> };

export interface ConnectRoutesDeps extends ConnectDeps {
  /** Told once a grant was made or changed. */
  readonly onFacts?: () => void;
}

/** POST /v3/connect/custom (contract 6.2): a grant from credentials, without a visit to a provider's page. */
export function connectRoutes(deps: ConnectRoutesDeps): Routes {
  return (http) => {
    http.post<Connect>('/v3/connect/custom', CONNECT, async (request, reply) => {
      const { provider, settings, name, scope, state } = request.body;
      if (provider !== 'imap') throw invalid('provider', 'must be imap');
      const connected = await connectImap(deps, caller(request).app, {
        settings,
        ...(name !== undefined && { name: oneLine('name', name) }),
        ...(scope !== undefined && { scope }),
      });
      deps.onFacts?.();
      reply.code(201);
      return connectedAnswer(request, connected.grant, state);
    });
  };
}

/** The answer to whoever connected a mailbox or changed how it is reached. */
export function connectedAnswer(request: { readonly id: string }, grant: Grant, state?: string): object {
  const warnings: readonly Warning[] = grant.settings.send_only === true ? [SEND_ONLY] : [];
  const data = { ...toWire(grant), ...(state !== undefined && { state }) };
  return answer(request, data, warnings.length > 0 ? { warnings } : {});
}

const SEND_ONLY: Warning = {
  type: 'grant.send_only',
  message: 'Without imap_host this grant can only send: replies are off, and no copy is put into Sent.',
};
