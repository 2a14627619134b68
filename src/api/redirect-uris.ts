import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import type { Sql } from '../db/pool.ts';
import { ApiError, invalid } from '../errors.ts';
import {
  addRedirectUri,
  changeRedirectUri,
  deleteRedirectUri,
  getRedirectUri,
  type Kept,
  listRedirectUris,
  MOST_REDIRECT_URIS,
  PLATFORM_SETTINGS,
  PLATFORMS,
  type PlatformSettings,
  type RedirectUri,
} from '../grants/redirect-uris.ts';
import { caller, type Routes } from './http.ts';
import { operation } from './operation.ts';
import { type Answer, answer, done } from './respond.ts';
import { RedirectUriSchema } from './schemas/applications.ts';
import { answerOf, Done, listOf, wordOf } from './schemas/envelopes.ts';

export interface WireRedirectUri {
  readonly id: string;
  readonly url: string;
  readonly platform: RedirectUri['platform'];
  readonly settings?: PlatformSettings;
}

/** No control characters, and no halves of surrogate pairs, which PostgreSQL stores in no JSON. */
const Setting = Type.Optional(Type.String({ maxLength: 255, pattern: '^[^\\p{Cc}\\p{Cs}]*$' }));
const members = {
  platform: Type.Optional(wordOf(PLATFORMS)),
  settings: Type.Optional(
    Type.Object(
      {
        origin: Setting,
        bundle_id: Setting,
        app_store_id: Setting,
        team_id: Setting,
        package_name: Setting,
        sha1_certificate_fingerprint: Setting,
        sha_1_certificate_fingerprint: Setting, // as the Node SDK writes it
      },
      { additionalProperties: false },
    ),
  ),
};
const NewUri = Type.Object({ url: Type.String(), ...members }, { additionalProperties: false });
const Patch = Type.Object({ url: Type.Optional(Type.String()), ...members }, { additionalProperties: false });

const ONE = {
  tag: 'Application',
  params: { id: 'A redirect URI: its id.' },
  refusals: [404],
} as const;

const CHANGE = {
  ...ONE,
  body: Patch,
  example: { url: 'https://app.example.com/back' },
  bodyIsOptional: true,
  answers: { 200: answerOf(RedirectUriSchema) },
} as const;

const OPERATIONS = {
  list: operation({
    id: 'listRedirectUris',
    tag: 'Application',
    summary: 'List redirect URIs',
    answers: { 200: listOf(RedirectUriSchema) },
  }),
  create: operation({
    id: 'createRedirectUri',
    tag: 'Application',
    summary: 'Add a redirect URI',
    body: NewUri,
    example: { url: 'https://app.example.com/callback', platform: 'web' },
    answers: { 200: answerOf(RedirectUriSchema) },
  }),
  get: operation({
    id: 'getRedirectUri',
    summary: 'Find a redirect URI',
    answers: { 200: answerOf(RedirectUriSchema) },
    ...ONE,
  }),
  update: operation({ id: 'updateRedirectUri', summary: 'Change a redirect URI', ...CHANGE }),
  updateByPut: operation({
    id: 'updateRedirectUriByPut',
    summary: 'Change a redirect URI, as older SDKs call it',
    ...CHANGE,
  }),
  delete: operation({
    id: 'deleteRedirectUri',
    summary: 'Delete a redirect URI',
    answers: { 200: Done },
    ...ONE,
  }),
};

interface One {
  Params: { id: string };
}

interface Change extends One {
  Body: Static<typeof Patch>;
}

/** /v3/applications/redirect-uris. Changed by PATCH, and by PUT, which older SDKs send. */
export function redirectUriRoutes({ sql }: { readonly sql: Sql }): Routes {
  const change = async (request: FastifyRequest<Change>): Promise<Answer<WireRedirectUri>> => {
    const { settings, ...rest } = request.body;
    const patch = { ...rest, ...(settings === undefined ? {} : { settings: settingsOf(settings) }) };
    const changed = await changeRedirectUri(sql, caller(request).app, request.params.id, patch);
    return answer(request, redirectUriToWire(kept(changed)));
  };

  return (http) => {
    http.get('/v3/applications/redirect-uris', OPERATIONS.list, async (request) =>
      answer(request, (await listRedirectUris(sql, caller(request).app)).map(redirectUriToWire)),
    );

    http.post<{ Body: Static<typeof NewUri> }>('/v3/applications/redirect-uris', OPERATIONS.create, async (request) => {
      const { url, platform = 'web', settings = {} } = request.body;
      const added = { url, platform, settings: settingsOf(settings) };
      return answer(request, redirectUriToWire(kept(await addRedirectUri(sql, caller(request).app, added))));
    });

    http.get<One>('/v3/applications/redirect-uris/:id', OPERATIONS.get, async (request) => {
      const uri = await getRedirectUri(sql, caller(request).app, request.params.id);
      if (uri === null) throw notFound();
      return answer(request, redirectUriToWire(uri));
    });

    http.patch<Change>('/v3/applications/redirect-uris/:id', OPERATIONS.update, change);
    http.put<Change>('/v3/applications/redirect-uris/:id', OPERATIONS.updateByPut, change);

    http.delete<One>('/v3/applications/redirect-uris/:id', OPERATIONS.delete, async (request) => {
      if (!(await deleteRedirectUri(sql, caller(request).app, request.params.id))) throw notFound();
      return done(request);
    });
  };
}

/** `settings` only where there are some: what an SDK does not find there it takes for not set. */
export function redirectUriToWire({ id, url, platform, settings }: RedirectUri): WireRedirectUri {
  return { id, url, platform, ...(Object.keys(settings).length > 0 && { settings: settingsOf(settings) }) };
}

/** In the order of the list, which JSON in the database does not keep. An empty text takes a setting away. */
function settingsOf(settings: NonNullable<Static<typeof Patch>['settings']>): PlatformSettings {
  const { sha_1_certificate_fingerprint: fingerprint, ...rest } = settings;
  const read = fingerprint === undefined ? rest : { sha1_certificate_fingerprint: fingerprint, ...rest };
  const given = PLATFORM_SETTINGS.map((name) => [name, read[name] ?? ''] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== ''));
}

function kept(outcome: Kept): RedirectUri {
  switch (outcome.kind) {
    case 'kept':
      return outcome.uri;
    case 'unknown':
      throw notFound();
    case 'wrong_url':
      throw invalid('url', outcome.rule);
    case 'taken':
      throw invalid('url', 'is a redirect URI of this application already');
    case 'too_many':
      throw invalid('url', `cannot be added: an application has at most ${MOST_REDIRECT_URIS} redirect URIs`);
  }
}

function notFound(): ApiError {
  return new ApiError(404, 'api.not_found_error', 'Redirect URI not found.');
}
