import type { FastifyRequest } from 'fastify';
import { requireValid, resolveGrant } from '../grants/grants.ts';
import type { Sender } from '../grants/senders.ts';
import { type SendDeps, send } from '../send/send.ts';
import { caller, type Routes } from './http.ts';
import { type Fields, selected } from './mail-wire.ts';
import { MessageBody, outgoingOf, withoutNulls } from './message-body.ts';
import { sentToWire } from './message-wire.ts';
import { readQuery } from './query.ts';
import { hangUpOf, type ReadMailDeps } from './read-mail.ts';
import { answer, SEND_BODY_LIMIT, unknownIn } from './respond.ts';
import { findNamed, readNamed, showMail } from './shown-mail.ts';

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

interface OneMessage {
  Params: { identifier: string; message_id: string };
}

/** POST /v3/grants/:identifier/messages/send, GET /v3/grants/:identifier/messages/:message_id */
export function messageRoutes(deps: SendDeps & ReadMailDeps): Routes {
  return (http) => {
    http.get<OneMessage>('/v3/grants/:identifier/messages/:message_id', async (request, reply) => {
      const fields = fieldsOf(request);
      const select = readQuery(request).list('select');
      const grant = await resolveGrant(deps.sql, caller(request).app, request.params.identifier);
      requireValid(grant);
      const { message_id: name } = request.params;
      const named = await findNamed(deps.sql, grant, name);
      if (named === null) throw unknownIn('message_id', 'message', name);
      const content = await readNamed(deps, grant, named, hangUpOf(reply));
      const shown = await showMail(deps, grant, named, content, fields);
      if (shown === null) throw unknownIn('message_id', 'message', name);
      return answer(request, selected(shown.wire, select));
    });

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
  const { headers } = fieldsOf(request);
  const mail = outgoingOf(request.body);
  const sent = await send(deps, sender, mail);
  const { grant } = sender;
  return answer(request, sentToWire(grant, mail, sent, headers), {
    grant_id: grant.id,
    ...(sent.warnings.length > 0 && { warnings: sent.warnings }),
  });
}

const FIELDS = {
  standard: { headers: 'none', trackingOptions: false },
  include_tracking_options: { headers: 'none', trackingOptions: true },
  include_headers: { headers: 'all', trackingOptions: false },
  include_basic_headers: { headers: 'basic', trackingOptions: false },
} as const satisfies Record<string, Fields>;

function fieldsOf(request: { readonly query: unknown }): Fields {
  const names = ['standard', 'include_tracking_options', 'include_headers', 'include_basic_headers'] as const;
  return FIELDS[readQuery(request).oneOf('fields', names) ?? 'standard'];
}
