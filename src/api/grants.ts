import { type Static, Type } from '@sinclair/typebox';
import { ApiError, invalid } from '../errors.ts';
import { type ConnectDeps, reconnectImap } from '../grants/connect.ts';
import { type GrantList, listGrants } from '../grants/grant-list.ts';
import { deleteGrant, type GrantProvider, resolveGrant, toWire, updateGrant } from '../grants/grants.ts';
import { connectedAnswer } from './connect.ts';
import { caller, type Routes } from './http.ts';
import { type QueryReader, readQuery } from './query.ts';
import { answer, done } from './respond.ts';

const Patch = Type.Object(
  {
    settings: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    scope: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 100 })),
  },
  { additionalProperties: false },
);

interface OneGrant {
  Params: { identifier: string };
}

const PROVIDERS = ['imap', 'google', 'microsoft'] as const;
const LAST_SECOND = 253_402_300_799; // year 9999

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
    http.get('/v3/grants', async (request) => {
      const list = listOf(readQuery(request));
      const grants = await listGrants(sql, caller(request).app, list);
      return answer(request, grants.map(toWire), { limit: list.limit, offset: list.offset });
    });

    http.get<OneGrant>('/v3/grants/:identifier', async (request) =>
      answer(request, toWire(await resolveGrant(sql, caller(request).app, request.params.identifier))),
    );

    http.patch<OneGrant & { Body: Static<typeof Patch> }>(
      '/v3/grants/:identifier',
      { schema: { body: Patch } },
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

    http.delete<OneGrant>('/v3/grants/:identifier', async (request) => {
      const grant = await resolveGrant(sql, caller(request).app, request.params.identifier);
      if (!(await deleteGrant(sql, grant.app, grant.id)))
        throw new ApiError(404, 'grant.not_found', 'Grant not found.');
      await onStops?.();
      onFacts?.();
      return done(request);
    });
  };
}

function listOf(query: QueryReader): GrantList {
  const status = query.oneOf('grant_status', ['valid', 'invalid']);
  const provider = query.text('provider');
  return {
    limit: query.integer('limit', { min: 1, max: 200 }) ?? 10,
    offset: query.integer('offset', { min: 0, max: 1_000_000 }) ?? 0,
    sortBy: query.oneOf('sort_by', ['created_at', 'updated_at']) ?? 'created_at',
    orderBy: query.oneOf('order_by', ['asc', 'desc']) ?? 'desc',
    email: query.text('email'),
    state: status === undefined ? undefined : status === 'valid' ? 'valid' : 'expired',
    providers: provider === undefined ? undefined : providersShownAs(provider),
    since: query.integer('since', { min: 0, max: LAST_SECOND }),
    before: query.integer('before', { min: 0, max: LAST_SECOND }),
  };
}

/** Providers that Nylas has and we do not match no grant. */
function providersShownAs(provider: string): readonly GrantProvider[] {
  if (provider === 'imap') return ['imap', 'practice'];
  return PROVIDERS.filter((known) => known === provider);
}
