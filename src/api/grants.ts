import { type Static, Type } from '@sinclair/typebox';
import { ApiError, invalid } from '../errors.ts';
import { type ConnectDeps, reconnectImap } from '../grants/connect.ts';
import { type GrantList, listGrants } from '../grants/grant-list.ts';
import { deleteGrant, type GrantProvider, resolveGrant, toWire, updateGrant } from '../grants/grants.ts';
import { connectedAnswer } from './connect.ts';
import { caller, type Routes } from './http.ts';
import { GRANT, operation } from './operation.ts';
import { integer, oneOf, readQuery, second, text, type ValuesOf } from './query.ts';
import { answer, done } from './respond.ts';
import { answerOf, Done, listOf, WARNINGS } from './schemas/envelopes.ts';
import { GrantSchema } from './schemas/grants.ts';

const Patch = Type.Object(
  {
    settings: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), { description: 'As those that connect a mailbox.' }),
    ),
    scope: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 100 })),
  },
  { additionalProperties: false },
);

interface OneGrant {
  Params: { identifier: string };
}

const PROVIDERS = ['imap', 'google', 'microsoft'] as const;

const LIST = {
  limit: integer({ min: 1, max: 200, fallback: 10 }, 'How many at most'),
  offset: integer({ min: 0, max: 1_000_000, fallback: 0 }, 'How many to pass over'),
  sort_by: oneOf(['created_at', 'updated_at'], { fallback: 'created_at', description: 'What they are sorted by' }),
  order_by: oneOf(['asc', 'desc'], { fallback: 'desc', description: 'Oldest or newest first' }),
  email: text('Only the grant of this address'),
  grant_status: oneOf(['valid', 'invalid'], { description: 'Only those that work, or those that have expired' }),
  provider: text('Only those of this provider: imap, google or microsoft'),
  since: second('Made at this time or later'),
  before: second('Made before this time'),
};

const OPERATIONS = {
  list: operation({
    id: 'listGrants',
    tag: 'Grants',
    summary: 'List grants',
    query: LIST,
    answers: { 200: listOf(GrantSchema, { limit: Type.Integer(), offset: Type.Integer() }) },
  }),
  get: operation({
    id: 'getGrant',
    tag: 'Grants',
    summary: 'Find a grant',
    params: GRANT,
    answers: { 200: answerOf(GrantSchema) },
  }),
  update: operation({
    id: 'updateGrant',
    tag: 'Grants',
    summary: 'Change a grant, or authenticate it again',
    description: 'New settings replace the old ones as a whole and are tried on the mail servers first.',
    params: GRANT,
    body: Patch,
    example: { scope: ['mail.send'] },
    answers: { 200: answerOf(GrantSchema, WARNINGS) },
  }),
  delete: operation({
    id: 'deleteGrant',
    tag: 'Grants',
    summary: 'Delete a grant',
    description: 'Its links and pixels stop for good.',
    params: GRANT,
    answers: { 200: Done },
  }),
};

export interface GrantRoutesDeps extends ConnectDeps {
  /** Told once links and pixels have been stopped, and waited for, so that the edges need not find out by themselves. */
  readonly onStops?: () => void | Promise<void>;
  /** Told once a grant was changed or deleted. */
  readonly onFacts?: () => void;
}

/** /v3/grants: list, find, update and delete. A grant is named by any form of contract 5.1. */
export function grantRoutes(deps: GrantRoutesDeps): Routes {
  const { sql, onStops, onFacts } = deps;
  return (http) => {
    http.get('/v3/grants', OPERATIONS.list, async (request) => {
      const list = orderOf(readQuery(request, LIST));
      const grants = await listGrants(sql, caller(request).app, list);
      return answer(request, grants.map(toWire), { limit: list.limit, offset: list.offset });
    });

    http.get<OneGrant>('/v3/grants/:identifier', OPERATIONS.get, async (request) =>
      answer(request, toWire(await resolveGrant(sql, caller(request).app, request.params.identifier))),
    );

    http.patch<OneGrant & { Body: Static<typeof Patch> }>(
      '/v3/grants/:identifier',
      OPERATIONS.update,
      async (request) => {
        const { settings, scope } = request.body;
        const grant = await resolveGrant(sql, caller(request).app, request.params.identifier);
        // Settings say how to reach the mailbox, so new ones have to be proven by authenticating with them.
        if (settings !== undefined && Object.keys(settings).length > 0) {
          if (grant.provider !== 'imap') throw invalid('settings', 'cannot be changed: a practice mailbox has none');
          const renewed = await reconnectImap(deps, grant, { settings, ...(scope !== undefined && { scope }) });
          if (renewed === null) throw new ApiError(404, 'grant.not_found', 'Grant not found.');
          onFacts?.();
          return connectedAnswer(request, renewed);
        }
        if (scope === undefined) return answer(request, toWire(grant));
        const changed = await updateGrant(sql, grant.app, grant.id, { scope });
        if (changed === null) throw new ApiError(404, 'grant.not_found', 'Grant not found.');
        onFacts?.();
        return answer(request, toWire(changed));
      },
    );

    http.delete<OneGrant>('/v3/grants/:identifier', OPERATIONS.delete, async (request) => {
      const grant = await resolveGrant(sql, caller(request).app, request.params.identifier);
      if (!(await deleteGrant(sql, grant.app, grant.id)))
        throw new ApiError(404, 'grant.not_found', 'Grant not found.');
      await onStops?.();
      onFacts?.();
      return done(request);
    });
  };
}

function orderOf(query: ValuesOf<typeof LIST>): GrantList {
  const { limit, offset, email, grant_status: status, provider, since, before } = query;
  return {
    limit,
    offset,
    sortBy: query.sort_by,
    orderBy: query.order_by,
    email,
    state: status === undefined ? undefined : status === 'valid' ? 'valid' : 'expired',
    providers: provider === undefined ? undefined : providersShownAs(provider),
    since,
    before,
  };
}

/** Providers that Nylas has and we do not match no grant. */
function providersShownAs(provider: string): readonly GrantProvider[] {
  if (provider === 'imap') return ['imap', 'practice'];
  return PROVIDERS.filter((known) => known === provider);
}
