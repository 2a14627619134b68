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
import {
  parseSettings,
  type SettingsPatch,
  SettingsProblem,
  settingsToWire,
  type WireSettings,
} from '../grants/settings.ts';
import { caller, type Routes } from './http.ts';
import { answer } from './respond.ts';

export interface WireApplication {
  readonly application_id: string;
  readonly organization_id: string;
  readonly region: 'us';
  readonly environment: 'production' | 'sandbox';
  readonly branding: { readonly name: string };
  readonly callback_uris: readonly [];
  readonly tracking_settings: WireSettings;
  readonly created_at: number;
  readonly updated_at: number;
}

const Patch = Type.Object(
  {
    branding: Type.Optional(Type.Object({ name: Type.Optional(Type.String()) }, { additionalProperties: false })),
    tracking_settings: Type.Optional(Type.Unknown()),
  },
  { additionalProperties: false },
);

export interface ApplicationRoutesDeps {
  readonly sql: Sql;
  /** Told after `deleted_grant_links` was set, and waited for: the edges must treat deleted grants otherwise. */
  readonly onStops?: () => void | Promise<void>;
}

/** GET and PATCH /v3/applications: the application of the key. */
export function applicationRoutes({ sql, onStops }: ApplicationRoutesDeps): Routes {
  return (http) => {
    http.get('/v3/applications', async (request) => {
      const application = await getApplication(sql, caller(request).app);
      if (application === null) throw gone();
      return answer(request, applicationToWire(application));
    });

    http.patch<{ Body: Static<typeof Patch> }>('/v3/applications', { schema: { body: Patch } }, async (request) => {
      const patch = patchOf(request.body);
      const changed = await updateApplication(sql, caller(request).app, patch);
      if (changed === 'unknown') throw gone();
      if (changed === 'taken') throw invalid('branding.name', 'is the name of another application');
      if (patch.settings?.deletedGrantLinks !== undefined) await onStops?.();
      return answer(request, applicationToWire(changed));
    });
  };
}

export function applicationToWire(application: Application): WireApplication {
  return {
    application_id: application.id,
    organization_id: application.id, // there are no organizations; SDKs require the field
    region: 'us', // SDKs know us and eu only
    environment: application.environment,
    branding: { name: application.name },
    callback_uris: [],
    tracking_settings: settingsToWire(application.settings),
    created_at: Math.floor(application.createdAt.getTime() / 1000),
    updated_at: Math.floor(application.updatedAt.getTime() / 1000),
  };
}

function patchOf(body: Static<typeof Patch>): ApplicationPatch {
  const name = body.branding?.name;
  const problem = name === undefined ? null : nameProblem(name);
  if (problem !== null) throw invalid('branding.name', problem);
  return {
    ...(name === undefined ? {} : { name }),
    ...(body.tracking_settings === undefined ? {} : { settings: settingsOf(body.tracking_settings) }),
  };
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
