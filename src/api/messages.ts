import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { type Grant, requireValid, resolveGrant } from '../grants/grants.ts';
import type { Sender } from '../grants/senders.ts';
import type { Outgoing, Warning } from '../send/outgoing.ts';
import { type ScheduledMail, schedule, scheduleOfMessage } from '../send/schedules.ts';
import { type SendDeps, type Sent, send } from '../send/send.ts';
import { scheduledBefore, sentBefore } from '../send/sent-before.ts';
import type { StoredMessage } from '../tracking/messages.ts';
import { caller, type Routes } from './http.ts';
import { type Fields, selected } from './mail-wire.ts';
import { MessageBody, outgoingOf, sendAtOf } from './message-body.ts';
import { scheduledToWire, sentToWire } from './message-wire.ts';
import { acceptMultipart, filesOf } from './multipart.ts';
import { once } from './once.ts';
import { GRANT, IDEMPOTENCY_KEY, operation, withOperation } from './operation.ts';
import { list, oneOf, readQuery } from './query.ts';
import { hangUpOf, type ReadMailDeps } from './read-mail.ts';
import { answer, SEND_BODY_LIMIT, unknownIn } from './respond.ts';
import { answerOf, WARNINGS } from './schemas/envelopes.ts';
import { Message, SelectedMessage, SentMessage } from './schemas/mail.ts';
import { findNamed, readNamed, showMail } from './shown-mail.ts';

interface SendRequest {
  Params: { identifier: string };
  Body: MessageBody;
}

/** What validates the body of a route that sends. */
export const sendRoute = {
  bodyLimit: SEND_BODY_LIMIT,
  schema: { body: MessageBody },
  config: { nulAllowedIn: ['tracking_options', 'metadata', 'reply_to_message_id'] }, // D6 and D27 answer there
};

const SHOWN = {
  fields: oneOf(['standard', 'include_tracking_options', 'include_headers', 'include_basic_headers'], {
    fallback: 'standard',
    description: 'What is answered besides the standard members',
  }),
};
const GET_QUERY = { ...SHOWN, select: list('Only these members, and id, object and grant_id') };

const SEND = withOperation(sendRoute, {
  id: 'sendMessage',
  tag: 'Messages',
  summary: 'Send a message',
  params: GRANT,
  query: SHOWN,
  headers: IDEMPOTENCY_KEY,
  multipart: true,
  example: {
    to: [{ name: 'Kim', email: 'kim@example.com' }],
    subject: 'Quick follow-up',
    body: 'Reply or <a href="https://example.com/demo">book a demo</a>.',
    tracking_options: { opens: true, links: true, thread_replies: true, label: 'trial-followup' },
  },
  answers: { 200: answerOf(SentMessage, { grant_id: Type.String(), ...WARNINGS }) },
  refusals: [402, 403, 409, 422, 504],
});

const GET = operation({
  id: 'getMessage',
  tag: 'Messages',
  summary: 'Read a message',
  params: { ...GRANT, message_id: "A message: our id, a provider's id, or a Message-ID." },
  query: GET_QUERY,
  answers: { 200: answerOf(Type.Union([Message, SelectedMessage])) },
  refusals: [403, 504],
});

interface OneMessage {
  Params: { identifier: string; message_id: string };
}

/** POST /v3/grants/:identifier/messages/send, GET /v3/grants/:identifier/messages/:message_id */
export function messageRoutes(deps: SendDeps & ReadMailDeps): Routes {
  return (http) => {
    acceptMultipart(http, deps);

    http.get<OneMessage>('/v3/grants/:identifier/messages/:message_id', GET, async (request, reply) => {
      const { fields, select } = readQuery(request, GET_QUERY);
      const grant = await resolveGrant(deps.sql, caller(request).app, request.params.identifier);
      requireValid(grant);
      const { message_id: name } = request.params;
      const named = await findNamed(deps.sql, grant, name);
      if (named === null) throw unknownIn('message_id', 'message', name);
      const content = await readNamed(deps, grant, named, hangUpOf(reply));
      const shown = await showMail(deps, grant, named, content, FIELDS[fields]);
      if (shown === null) throw unknownIn('message_id', 'message', name);
      return answer(request, selected(shown.wire, select));
    });

    http.post<SendRequest>('/v3/grants/:identifier/messages/send', SEND, async (request, reply) => {
      const sender = await deps.senders(caller(request).app, request.params.identifier);
      return await once(
        deps,
        request,
        reply,
        sender.grant,
        { what: ['messages/send'], files: filesOf(request) },
        {
          run: (id) => sendAs(deps, sender, request, id),
          again: (message) => sentAgain(deps, sender, request, message),
        },
      );
    });
  };
}

type ReadSend = Pick<FastifyRequest, 'id' | 'query' | 'raw'> & { readonly body: MessageBody };

/** Sends the request's mail from this sender's grant, or schedules it, under this id where one is given; the whole answer. */
export async function sendAs(deps: SendDeps, sender: Sender, request: ReadSend, id?: string): Promise<object> {
  const fields = fieldsOf(request);
  const mail = outgoingOf(request.body, filesOf(request));
  const sendAt = sendAtOf(request.body, Date.now());
  if (sendAt === null) return sentAnswer(request, sender, mail, await send(deps, sender, mail, { id }), fields);
  const scheduled = await schedule(deps, sender, mail, { sendAt: new Date(sendAt * 1000), id });
  return scheduledAnswer(request, sender, mail, scheduled, sendAt);
}

/** The whole answer of a try whose own is lost, where this message was sent or scheduled by it. */
async function sentAgain(
  deps: SendDeps,
  sender: Sender,
  request: ReadSend,
  message: StoredMessage,
): Promise<object | null> {
  const mail = outgoingOf(request.body, filesOf(request));
  const { send_at: sendAt } = request.body;
  if (sendAt !== undefined) {
    const found = await scheduleOfMessage(deps.sql, message.app, message.id);
    if (found === null) return null;
    const scheduled = scheduledBefore(deps, sender, mail, message, found);
    return scheduledAnswer(request, sender, mail, scheduled, sendAt);
  }
  if (message.state !== 'sent') return null;
  return sentAnswer(request, sender, mail, await sentBefore(deps, sender, mail, message), fieldsOf(request));
}

function sentAnswer(request: ReadSend, { grant }: Sender, mail: Outgoing, sent: Sent, { headers }: Fields): object {
  return messageAnswer(request, grant, sentToWire(grant, mail, sent, headers), sent.warnings);
}

function scheduledAnswer(
  request: ReadSend,
  { grant }: Sender,
  mail: Outgoing,
  scheduled: ScheduledMail,
  sendAt: number,
): object {
  return messageAnswer(request, grant, scheduledToWire(grant, mail, scheduled, sendAt), scheduled.warnings);
}

function messageAnswer(request: ReadSend, { id }: Grant, data: object, warnings: readonly Warning[]): object {
  return answer(request, data, { grant_id: id, ...(warnings.length > 0 && { warnings }) });
}

const FIELDS = {
  standard: { headers: 'none', trackingOptions: false },
  include_tracking_options: { headers: 'none', trackingOptions: true },
  include_headers: { headers: 'all', trackingOptions: false },
  include_basic_headers: { headers: 'basic', trackingOptions: false },
} as const satisfies Record<string, Fields>;

function fieldsOf(request: { readonly query: unknown }): Fields {
  return FIELDS[readQuery(request, SHOWN).fields];
}
