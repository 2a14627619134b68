import type { FastifyRequest } from 'fastify';
import type { Sender } from '../grants/senders.ts';
import { type SendDeps, send } from '../send/send.ts';
import { caller, type Routes } from './http.ts';
import { MessageBody, outgoingOf, withoutNulls } from './message-body.ts';
import { type HeaderFields, sentToWire } from './message-wire.ts';
import { readQuery } from './query.ts';
import { answer, SEND_BODY_LIMIT } from './respond.ts';

interface SendRequest {
  Params: { identifier: string };
  Body: MessageBody;
}

/** What validates and prepares the body of a route that sends. */
export const sendRoute = {
  bodyLimit: SEND_BODY_LIMIT,
  schema: { body: MessageBody },
  config: { nulAllowedIn: ['tracking_options', 'metadata', 'reply_to_message_id'] }, // D6 and D27 answer there
  preValidation: async (request: FastifyRequest): Promise<void> => {
    request.body = withoutNulls(request.body);
  },
};

/** POST /v3/grants/:identifier/messages/send */
export function messageRoutes(deps: SendDeps): Routes {
  return (http) => {
    http.post<SendRequest>('/v3/grants/:identifier/messages/send', sendRoute, async (request) => {
      const sender = await deps.senders(caller(request).app, request.params.identifier);
      return await sendAs(deps, sender, request);
    });
  };
}

/** Sends the request's mail from this sender's grant; the whole answer. `Idempotency-Key` is not looked at yet. */
export async function sendAs(
  deps: SendDeps,
  sender: Sender,
  request: { readonly id: string; readonly body: MessageBody; readonly query: unknown },
): Promise<object> {
  const fields = fieldsOf(request);
  const mail = outgoingOf(request.body);
  const sent = await send(deps, sender, mail);
  const { grant } = sender;
  return answer(request, sentToWire(grant, mail, sent, fields), {
    grant_id: grant.id,
    ...(sent.warnings.length > 0 && { warnings: sent.warnings }),
  });
}

const FIELDS = {
  standard: 'none',
  include_tracking_options: 'none',
  include_headers: 'all',
  include_basic_headers: 'basic',
} as const satisfies Record<string, HeaderFields>;

function fieldsOf(request: { readonly query: unknown }): HeaderFields {
  const names = ['standard', 'include_tracking_options', 'include_headers', 'include_basic_headers'] as const;
  return FIELDS[readQuery(request).oneOf('fields', names) ?? 'standard'];
}
