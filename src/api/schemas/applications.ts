import { Type } from '@sinclair/typebox';
import { PLATFORMS } from '../../grants/redirect-uris.ts';
import { orNull, wordOf } from './envelopes.ts';
import { UnixSeconds } from './mail.ts';

const schemes = wordOf(['https', 'http', 'mailto', 'tel']);
const classes = wordOf(['human', 'proxy', 'machine', 'scanner', 'sender', 'unknown']);

const TrackingSettings = Type.Object(
  {
    link_schemes: Type.Array(schemes),
    secret_parameters: Type.Array(Type.String()),
    open_dedupe_seconds: Type.Integer(),
    deleted_grant_links: wordOf(['stop', 'forward']),
    notify_self_replies: Type.Boolean(),
    notify_auto_replies: Type.Boolean(),
    notify_sends: Type.Optional(Type.Boolean({ description: 'Shown while it is on.' })),
    retry_schedule: wordOf(['default', 'nylas']),
    reply_watch_days: Type.Integer(),
    click_settle_ms: Type.Integer(),
    max_notifications_per_minute: Type.Integer(),
    notify_classes: orNull(Type.Array(classes)),
  },
  { title: 'TrackingSettings' },
);

export const RedirectUriSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    url: Type.String(),
    platform: wordOf(PLATFORMS),
    settings: Type.Optional(
      Type.Object({
        origin: Type.Optional(Type.String()),
        bundle_id: Type.Optional(Type.String()),
        app_store_id: Type.Optional(Type.String()),
        team_id: Type.Optional(Type.String()),
        package_name: Type.Optional(Type.String()),
        sha1_certificate_fingerprint: Type.Optional(Type.String()),
      }),
    ),
  },
  { title: 'RedirectUri' },
);

const Branding = Type.Object({
  name: Type.String(),
  icon_url: Type.Optional(Type.String()),
  website_url: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
});

export const applicationMembers = {
  application_id: Type.String(),
  organization_id: Type.String(),
  region: wordOf(['us']),
  environment: wordOf(['production', 'sandbox']),
  branding: Branding,
  hosted_authentication: Type.Optional(
    Type.Unsafe<object>({ type: 'object', additionalProperties: true, description: 'As it was given.' }),
  ),
  callback_uris: Type.Array(RedirectUriSchema),
  tracking_settings: TrackingSettings,
  created_at: UnixSeconds,
  updated_at: UnixSeconds,
};

export const ApplicationSchema = Type.Object(applicationMembers, { title: 'Application' });
