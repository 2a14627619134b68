import { type Static, Type } from '@sinclair/typebox';
import type { Sql } from '../db/pool.ts';
import { ApiError, invalid } from '../errors.ts';
import {
  type Application,
  type ApplicationPatch,
  getApplication,
  nameProblem,
  updateApplication,
} from '../grants/applications.ts';
import type { Branding, ProfilePatch } from '../grants/profile.ts';
import { listRedirectUris, type RedirectUri } from '../grants/redirect-uris.ts';
import {
  parseSettings,
  type SettingsPatch,
  SettingsProblem,
  settingsToWire,
  type WireSettings,
} from '../grants/settings.ts';
import { caller, type Routes } from './http.ts';
import { operation } from './operation.ts';
import { redirectUriToWire, type WireRedirectUri } from './redirect-uris.ts';
import { answer } from './respond.ts';
import { ApplicationSchema } from './schemas/applications.ts';
import { answerOf } from './schemas/envelopes.ts';

export interface WireApplication {
  readonly application_id: string;
  readonly organization_id: string;
  readonly region: 'us';
  readonly environment: 'production' | 'sandbox';
  readonly branding: Branding & { readonly name: string };
  readonly hosted_authentication?: Readonly<Record<string, unknown>>;
  readonly callback_uris: readonly WireRedirectUri[];
  readonly tracking_settings: WireSettings;
  readonly created_at: number;
  readonly updated_at: number;
}

const Patch = Type.Object(
  {
    branding: Type.Optional(
      Type.Object(
        {
          name: Type.Optional(Type.String()),
          icon_url: Type.Optional(Type.String()),
          website_url: Type.Optional(Type.String()),
          description: Type.Optional(Type.String()),
        },
        { additionalProperties: false },
      ),
    ),
    hosted_authentication: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    callback_uris: Type.Optional(Type.Unknown()),
    tracking_settings: Type.Optional(
      Type.Unknown({ description: 'An object with any members of TrackingSettings; the others stay.' }),
    ),
  },
  { additionalProperties: false },
);

const OPERATIONS = {
  get: operation({
    id: 'getApplication',
    tag: 'Application',
    summary: 'Show the application',
    answers: { 200: answerOf(ApplicationSchema) },
    refusals: [404],
  }),
  update: operation({
    id: 'updateApplication',
    tag: 'Application',
    summary: 'Change the application',
    body: Patch,
    example: { tracking_settings: { open_dedupe_seconds: 60 } },
    answers: { 200: answerOf(ApplicationSchema) },
    refusals: [404],
  }),
};

export interface ApplicationRoutesDeps {
  readonly sql: Sql;
  /** Told after `deleted_grant_links` was set, and waited for: the edges must treat deleted grants otherwise. */
  readonly onStops?: () => void | Promise<void>;
}

/** GET and PATCH /v3/applications: the application of the key. Each object that is given replaces the old one as a whole (the name stays). */
export function applicationRoutes({ sql, onStops }: ApplicationRoutesDeps): Routes {
  const shown = async (application: Application): Promise<WireApplication> =>
    applicationToWire(application, await listRedirectUris(sql, application.serial));

  return (http) => {
    http.get('/v3/applications', OPERATIONS.get, async (request) => {
      const application = await getApplication(sql, caller(request).app);
      if (application === null) throw gone();
      return answer(request, await shown(application));
    });

    http.patch<{ Body: Static<typeof Patch> }>('/v3/applications', OPERATIONS.update, async (request) => {
      const patch = patchOf(request.body);
      const changed = await updateApplication(sql, caller(request).app, patch);
      if (changed === 'unknown') throw gone();
      if (patch.settings?.deletedGrantLinks !== undefined) await onStops?.();
      return answer(request, await shown(changed));
    });
  };
}

function applicationToWire(application: Application, uris: readonly RedirectUri[]): WireApplication {
  const { name, branding, hostedAuthentication } = application.profile;
  return {
    application_id: application.id,
    organization_id: application.id, // there are no organizations; SDKs require the field
    region: 'us', // SDKs know us and eu only
    environment: application.environment,
    branding: { name: name ?? application.name, ...branding },
    ...(hostedAuthentication === null ? {} : { hosted_authentication: hostedAuthentication }),
    callback_uris: uris.map(redirectUriToWire),
    tracking_settings: settingsToWire(application.settings),
    created_at: Math.floor(application.createdAt.getTime() / 1000),
    updated_at: Math.floor(application.updatedAt.getTime() / 1000),
  };
}

function patchOf(body: Static<typeof Patch>): ApplicationPatch {
  const { branding, hosted_authentication: hosted, tracking_settings: settings } = body;
  if (body.callback_uris !== undefined) {
    throw invalid('callback_uris', 'cannot be changed here: use /v3/applications/redirect-uris');
  }
  const problem = branding?.name === undefined ? null : nameProblem(branding.name);
  if (problem !== null) throw invalid('branding.name', problem);
  const profile: ProfilePatch = {
    ...(branding?.name === undefined ? {} : { name: branding.name.toWellFormed() }),
    ...(branding === undefined ? {} : { branding: brandingOf(branding) }),
    ...(hosted === undefined ? {} : { hostedAuthentication: hostedOf(hosted) }),
  };
  return {
    ...(settings === undefined ? {} : { settings: settingsOf(settings) }),
    ...(Object.keys(profile).length === 0 ? {} : { profile }),
  };
}

const LONGEST_URL = 2000;
const LONGEST_DESCRIPTION = 1000;
const LONGEST_HOSTED = 10_000;

/** Without the name, which nothing takes away. An empty text takes a member away. */
function brandingOf(branding: NonNullable<Static<typeof Patch>['branding']>): Branding {
  const { icon_url = '', website_url = '', description = '' } = branding;
  for (const [name, url] of Object.entries({ icon_url, website_url })) {
    if (url !== '' && !isWebUrl(url)) throw invalid(`branding.${name}`, 'must be a URL such as https://example.com/');
  }
  if (description.length > LONGEST_DESCRIPTION) {
    throw invalid('branding.description', `must have at most ${LONGEST_DESCRIPTION} characters`);
  }
  return Object.fromEntries(
    Object.entries({ icon_url, website_url, description: description.toWellFormed() }).filter(
      ([, value]) => value !== '',
    ),
  );
}

function isWebUrl(text: string): boolean {
  return text.length <= LONGEST_URL && /^https?:\/\/[\x21-\x7e]+$/i.test(text) && URL.canParse(text);
}

function hostedOf(hosted: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (JSON.stringify(hosted).length > LONGEST_HOSTED) {
    throw invalid('hosted_authentication', `must have at most ${LONGEST_HOSTED} characters as JSON`);
  }
  return Object.fromEntries(storable(hosted));
}

/** Members without nulls, which no answer has, and without halves of surrogate pairs, which PostgreSQL stores in no JSON. */
function storable(members: object): [string, unknown][] {
  return Object.entries(members)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => [name.toWellFormed(), storableValue(value)]);
}

function storableValue(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.filter((item) => item !== null).map(storableValue);
  return Object.fromEntries(storable(value));
}

function settingsOf(wire: unknown): SettingsPatch {
  try {
    return parseSettings(wire);
  } catch (error) {
    if (error instanceof SettingsProblem) throw new ApiError(400, 'api.invalid_request_error', error.message);
    throw error;
  }
}

function gone(): ApiError {
  return new ApiError(404, 'api.not_found_error', 'Resource not found.');
}
