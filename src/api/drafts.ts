import { Type } from '@sinclair/typebox';
import { type ApiError, invalid } from '../errors.ts';
import { requireValid, resolveGrant } from '../grants/grants.ts';
import type { Sender } from '../grants/senders.ts';
import { fromWireId, wireId } from '../ids.ts';
import { listDrafts } from '../send/draft-list.ts';
import { draftOfMessage, findDraft } from '../send/draft-rows.ts';
import { sendDraft } from '../send/draft-sending.ts';
import { createDraft, deleteDraft, updateDraft } from '../send/drafts.ts';
import type { Outgoing } from '../send/outgoing.ts';
import type { SendDeps, Sent } from '../send/send.ts';
import { sentBefore } from '../send/sent-before.ts';
import type { StoredMessage } from '../tracking/messages.ts';
import { draftToWire } from './draft-wire.ts';
import { caller, type Routes } from './http.ts';
import { selected } from './mail-wire.ts';
import { DraftBody, filledIn, givenOf } from './message-body.ts';
import { sentToWire } from './message-wire.ts';
import { sendRoute } from './messages.ts';
import { acceptMultipart, filesOf } from './multipart.ts';
import { once } from './once.ts';
import { GRANT, IDEMPOTENCY_KEY, operation, withOperation } from './operation.ts';
import { boolean, integer, list, type Parameter, readQuery, text } from './query.ts';
import { answer, done, type Identified, unknownIn } from './respond.ts';
import { answerOf, Done, listOf, NEXT_CURSOR, WARNINGS } from './schemas/envelopes.ts';
import { Draft, SelectedDraft, SentMessage } from './schemas/mail.ts';

const MOST_ADDRESSES = 25;
const GET_QUERY = { select: list('Only these members, and id, object and grant_id') };
const LIST_QUERY = {
  ...GET_QUERY,
  subject: text('A part of the subject, in any case'),
  any_email: addresses('Among to, cc and bcc'),
  to: addresses('Among to'),
  cc: addresses('Among cc'),
  bcc: addresses('Among bcc'),
  starred: boolean('Only those that are, or are not'),
  unread: boolean('Drafts never are'),
  thread_id: text('Of this thread'),
  has_attachment: boolean('Only those with attachments, or without'),
  metadata_pair: metadataPair('A pair of the metadata, as key:value'),
  limit: integer({ min: 1, max: 200, fallback: 50 }, 'Drafts at most'),
  page_token: text('The next_cursor of the page before'),
};

const ONE = { ...GRANT, draft_id: 'A draft: its id.' };
const DRAFT = { 200: answerOf(Type.Union([Draft, SelectedDraft])) };

const LIST = operation({
  id: 'listDrafts',
  tag: 'Drafts',
  summary: 'List drafts',
  description: 'Newest first. A draft that is being sent is not among them.',
  params: GRANT,
  query: LIST_QUERY,
  answers: { 200: listOf(Type.Union([Draft, SelectedDraft]), NEXT_CURSOR) },
});
const CREATE = withOperation(
  { ...sendRoute, schema: { body: DraftBody } },
  {
    id: 'createDraft',
    tag: 'Drafts',
    summary: 'Create a draft',
    params: GRANT,
    multipart: true,
    example: {
      to: [{ name: 'Kim', email: 'kim@example.com' }],
      subject: 'Quick follow-up',
      body: 'Reply or <a href="https://example.com/demo">book a demo</a>.',
      tracking_options: { opens: true },
    },
    answers: { 200: answerOf(Draft) },
    refusals: [403],
  },
);
const GET = operation({
  id: 'getDraft',
  tag: 'Drafts',
  summary: 'Read a draft',
  params: ONE,
  query: GET_QUERY,
  answers: DRAFT,
});
const UPDATE = withOperation(
  { ...sendRoute, schema: { body: DraftBody } },
  {
    id: 'updateDraft',
    tag: 'Drafts',
    summary: 'Change a draft',
    description: 'Members that are given replace those of the draft; of the tracking options each by itself.',
    params: ONE,
    multipart: true,
    example: { subject: 'Another subject' },
    answers: { 200: answerOf(Draft) },
    refusals: [403, 409],
  },
);
const DELETE = operation({
  id: 'deleteDraft',
  tag: 'Drafts',
  summary: 'Delete a draft',
  params: ONE,
  answers: { 200: Done },
  refusals: [409],
});
const SEND = operation({
  id: 'sendDraft',
  tag: 'Drafts',
  summary: 'Send a draft',
  description: 'As a message, with the tracking options of the draft. A draft that could not be sent stays a draft.',
  params: ONE,
  headers: IDEMPOTENCY_KEY,
  body: Type.Object({ signature_id: Type.Optional(Type.Unknown({ description: 'Not supported: refused.' })) }),
  bodyIsOptional: true,
  answers: { 200: answerOf(SentMessage, { grant_id: Type.String(), ...WARNINGS }) },
  refusals: [402, 403, 409, 422, 504],
});

interface OfGrant {
  Params: { identifier: string };
}
interface OneDraft {
  Params: { identifier: string; draft_id: string };
}

/** /v3/grants/:identifier/drafts and …/drafts/:draft_id (contract 5.4) */
export function draftRoutes(deps: SendDeps): Routes {
  const { sql } = deps;
  return (http) => {
    acceptMultipart(http, deps);

    http.get<OfGrant>('/v3/grants/:identifier/drafts', LIST, async (request) => {
      const query = readQuery(request, LIST_QUERY);
      const grant = await resolveGrant(sql, caller(request).app, request.params.identifier);
      requireValid(grant);
      const filter = {
        ...query,
        anyEmail: query.any_email,
        threadId: query.thread_id,
        hasAttachment: query.has_attachment,
        metadata: query.metadata_pair,
      };
      const page = { limit: query.limit, after: afterOf(query.page_token) };
      const found = query.unread === true ? NONE : await listDrafts(sql, grant, filter, page);
      const drafts = found.drafts.map((draft) => selected(draftToWire(grant, draft), query.select));
      return answer(request, drafts, { next_cursor: found.last === null ? null : wireId('dft', found.last) });
    });

    http.post<OfGrant & { Body: DraftBody }>('/v3/grants/:identifier/drafts', CREATE, async (request) => {
      const sender = await deps.senders(caller(request).app, request.params.identifier);
      const mail = filledIn(givenOf(request.body, filesOf(request)));
      const draft = await createDraft(deps, sender, mail, { starred: request.body.starred ?? false });
      return answer(request, draftToWire(sender.grant, draft));
    });

    http.get<OneDraft>('/v3/grants/:identifier/drafts/:draft_id', GET, async (request) => {
      const { select } = readQuery(request, GET_QUERY);
      const grant = await resolveGrant(sql, caller(request).app, request.params.identifier);
      requireValid(grant);
      const draft = await findDraft(sql, grant, idOf(request.params));
      if (draft === null) throw unknownDraft(request.params);
      return answer(request, selected(draftToWire(grant, draft), select));
    });

    http.put<OneDraft & { Body: DraftBody }>('/v3/grants/:identifier/drafts/:draft_id', UPDATE, async (request) => {
      const sender = await deps.senders(caller(request).app, request.params.identifier);
      const { starred } = request.body;
      const mail = givenOf(request.body, filesOf(request));
      const draft = await updateDraft(deps, sender, idOf(request.params), { mail, starred });
      return answer(request, draftToWire(sender.grant, draft));
    });

    http.delete<OneDraft>('/v3/grants/:identifier/drafts/:draft_id', DELETE, async (request) => {
      const grant = await resolveGrant(sql, caller(request).app, request.params.identifier);
      await deleteDraft(deps, grant, idOf(request.params));
      return done(request);
    });

    http.post<OneDraft & { Body: { signature_id?: unknown } }>(
      '/v3/grants/:identifier/drafts/:draft_id',
      SEND,
      async (request, reply) => {
        const sender = await deps.senders(caller(request).app, request.params.identifier);
        const id = idOf(request.params);
        const { signature_id: signature = null } = request.body;
        if (signature !== null && signature !== '') {
          throw invalid('signature_id', 'is not supported: write the signature into the body');
        }
        return await once(
          deps,
          request,
          reply,
          sender.grant,
          { what: ['drafts', id] },
          {
            async run(messageId) {
              const { draft, sent } = await sendDraft(deps, sender, id, { id: messageId });
              return sentAnswer(request, sender, draft.mail, sent);
            },
            again: (message) => sentAgain(deps, sender, request, message),
          },
        );
      },
    );
  };
}

const NONE = { drafts: [], last: null };

/** The whole answer of a try whose own is lost, where this message was sent by it. */
async function sentAgain(
  deps: SendDeps,
  sender: Sender,
  request: Identified,
  message: StoredMessage,
): Promise<object | null> {
  if (message.state !== 'sent') return null;
  const draft = await draftOfMessage(deps.sql, message.app, message.id);
  const { subject, metadata } = message;
  const mail = draft?.mail ?? filledIn({ subject, metadata }); // its row has gone: the message's own says the rest
  return sentAnswer(request, sender, mail, await sentBefore(deps, sender, mail, message));
}

function sentAnswer(request: Identified, { grant }: Sender, mail: Outgoing, sent: Sent): object {
  const { warnings } = sent;
  return answer(request, sentToWire(grant, mail, sent, 'none'), {
    grant_id: grant.id,
    ...(warnings.length > 0 && { warnings }),
  });
}

function idOf(params: OneDraft['Params']): string {
  const id = fromWireId('dft', params.draft_id);
  if (id === null) throw unknownDraft(params);
  return id;
}

function unknownDraft({ draft_id: name }: OneDraft['Params']): ApiError {
  return unknownIn('draft_id', 'draft', name);
}

function afterOf(token: string | undefined): string | null {
  if (token === undefined) return null;
  const after = fromWireId('dft', token);
  if (after === null) throw invalid('page_token', 'must be the next_cursor of the page before');
  return after;
}

function addresses(description: string): Parameter<readonly string[] | undefined> {
  const { schema, read } = list(description);
  return {
    schema: { ...schema, maxItems: MOST_ADDRESSES },
    read(name, given) {
      const all = read(name, given);
      if ((all?.length ?? 0) > MOST_ADDRESSES) throw invalid(name, `must have at most ${MOST_ADDRESSES} addresses`);
      return all;
    },
  };
}

/** The Node SDK encodes the colon twice. */
function metadataPair(description: string): Parameter<readonly [key: string, value: string] | undefined> {
  return {
    schema: Type.String({ description }),
    read(name, [given]) {
      if (given === undefined) return undefined;
      const [, key, value] = /^([^:]+):(.*)$/s.exec(given.replace(/^([^:%]+)%3A/i, '$1:')) ?? [];
      if (key === undefined || value === undefined) throw invalid(name, 'must be a key and a value, as key1:value');
      return [key, value];
    },
  };
}
