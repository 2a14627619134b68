// What answers must have so that the SDKs can read them: Python 6.17, Ruby 6.8 and Java/Kotlin 2.18.1, which fail on a
// missing member, a wrong type or an unknown word where the Node SDK looks at nothing (contract 7.5, 7.6).

/** `int` is Java's Int, `long` its Long; a list is an enum's words. */
export type Kind =
  | 'string'
  | 'boolean'
  | 'int'
  | 'long'
  | 'object'
  | 'objects'
  | 'strings'
  | 'string or null'
  | 'strings or null'
  | readonly (string | boolean)[];

/** By path; `[]` stands for every item, `?` at the end for a member that may be absent. */
export type Members = Readonly<Record<string, Kind>>;

export const ENVELOPE = { request_id: 'string', data: 'object' } as const satisfies Members;
export const LIST = { request_id: 'string', data: 'objects' } as const satisfies Members;

/** Java's WebhookTriggers. The others of Nylas's reference throw there, so a customer with Java does not ask for them. */
const JAVA_TRIGGERS = [
  'calendar.created',
  'calendar.updated',
  'calendar.deleted',
  'event.created',
  'event.updated',
  'event.deleted',
  'grant.created',
  'grant.updated',
  'grant.deleted',
  'grant.expired',
  'message.created',
  'message.updated',
  'message.send_success',
  'message.send_failed',
  'message.bounce_detected',
  'message.opened',
  'message.link_clicked',
  'thread.replied',
];

const WEBHOOK: Members = {
  id: 'string',
  description: 'string',
  trigger_types: 'strings',
  'trigger_types[]': JAVA_TRIGGERS,
  webhook_url: 'string',
  status: ['active', 'failing', 'failed', 'paused'],
  notification_email_addresses: 'strings', // Python's find, create and update
  compressed_delivery: 'boolean',
  status_updated_at: 'long',
  created_at: 'long',
  updated_at: 'long',
};
export const ONE_WEBHOOK: Members = { ...ENVELOPE, ...under('data', WEBHOOK) };
export const WEBHOOK_WITH_SECRET: Members = { ...ONE_WEBHOOK, 'data.webhook_secret': 'string' };
export const WEBHOOK_LIST: Members = { ...LIST, ...under('data[]', WEBHOOK) };
export const WEBHOOK_DELETED: Members = { ...ENVELOPE, 'data.status': 'string' };
export const IP_ADDRESSES: Members = { ...ENVELOPE, 'data.ip_addresses': 'strings', 'data.updated_at': 'long' };

const GRANT: Members = {
  id: 'string',
  provider: ['google', 'microsoft', 'imap', 'virtual-calendar', 'icloud', 'ews'], // Java's AuthProvider
  grant_status: ['valid', 'invalid'],
  email: 'string',
  'name?': 'string',
  'state?': 'string',
  settings: 'object',
  scope: 'strings',
  created_at: 'long',
  updated_at: 'long',
};
export const ONE_GRANT: Members = { ...ENVELOPE, ...under('data', GRANT) };
export const GRANT_LIST: Members = { ...LIST, ...under('data[]', GRANT), limit: 'int', offset: 'int' };
export const DELETED: Members = { request_id: 'string' };

/** Java's Platform has `mobile` where Nylas says `js`: a list with a `js` in it cannot be read there (contract 7.6). */
const REDIRECT_URI: Members = {
  id: 'string',
  url: 'string',
  platform: ['web', 'desktop', 'mobile', 'ios', 'android'],
  'settings?': 'object',
  'settings.origin?': 'string',
  'settings.bundle_id?': 'string',
  'settings.app_store_id?': 'string',
  'settings.team_id?': 'string',
  'settings.package_name?': 'string',
  'settings.sha1_certificate_fingerprint?': 'string',
};
export const ONE_REDIRECT_URI: Members = { ...ENVELOPE, ...under('data', REDIRECT_URI) };
export const REDIRECT_URI_LIST: Members = { ...LIST, ...under('data[]', REDIRECT_URI) };

export const APPLICATION: Members = {
  ...ENVELOPE,
  ...under('data', {
    application_id: 'string',
    organization_id: 'string',
    region: ['us', 'eu'],
    environment: ['production', 'staging', 'sandbox'],
    branding: 'object',
    'branding.name': 'string',
    'branding.icon_url?': 'string',
    'branding.website_url?': 'string',
    'branding.description?': 'string',
    callback_uris: 'objects',
    ...under('callback_uris[]', REDIRECT_URI),
    'hosted_authentication?': 'object',
    'hosted_authentication.spacing?': 'int',
    created_at: 'long',
    updated_at: 'long',
    'tracking_settings?': 'object',
    'tracking_settings.notify_classes': 'strings or null', // no SDK has a model for it, so that Java skips it whole
  }),
};

const PEOPLE = ['from', 'to', 'cc', 'bcc', 'reply_to'];
/** What a message and a draft have in common. */
export const MAIL_MEMBERS: Members = {
  id: 'string', // of a draft Java insists on it
  grant_id: 'string', // the one that Python and Java insist on
  thread_id: 'string',
  subject: 'string',
  body: 'string',
  snippet: 'string',
  date: 'long', // of a draft Java insists on it
  folders: 'strings',
  starred: 'boolean',
  ...Object.assign({}, ...PEOPLE.map((field) => ({ [field]: 'objects' }))),
  ...Object.assign({}, ...PEOPLE.map((field) => ({ [`${field}[].email`]: 'string', [`${field}[].name?`]: 'string' }))),
  attachments: 'objects',
  'attachments[].id': 'string',
  'attachments[].grant_id': 'string',
  'attachments[].filename': 'string',
  'attachments[].content_type': 'string',
  'attachments[].size': 'int',
  'attachments[].is_inline': 'boolean',
  'attachments[].content_id?': 'string',
  'attachments[].content_disposition?': 'string',
  'metadata?': 'object',
  'tracking_options?': 'object',
  'tracking_options.opens': 'boolean',
  'tracking_options.links': 'boolean',
  'tracking_options.thread_replies': 'boolean',
  'tracking_options.label': 'string',
};
const MESSAGE: Members = {
  ...MAIL_MEMBERS,
  object: ['message'],
  unread: 'boolean',
  'headers?': 'objects',
  'headers[].name': 'string',
  'headers[].value': 'string',
};
export const ONE_MESSAGE: Members = { ...ENVELOPE, ...under('data', MESSAGE) };
export const SENT_MESSAGE: Members = {
  ...ONE_MESSAGE,
  grant_id: 'string',
  'warnings?': 'objects',
  'warnings[].type': 'string',
  'warnings[].message': 'string',
  ...under('data', {
    tracking_options: 'object',
    'schedule_id?': 'string',
    'send_at?': 'long',
    'reply_to_message_id?': 'string',
  }),
};
export const ONE_THREAD: Members = {
  ...ENVELOPE,
  ...under('data', {
    id: 'string',
    grant_id: 'string',
    object: ['thread'],
    subject: 'string',
    snippet: 'string',
    participants: 'objects',
    'participants[].email': 'string',
    'participants[].name?': 'string',
    message_ids: 'strings',
    draft_ids: 'strings',
    folders: 'strings',
    has_attachments: 'boolean',
    has_drafts: 'boolean',
    starred: 'boolean',
    unread: 'boolean',
    earliest_message_date: 'long',
    'latest_message_received_date?': 'long',
    'latest_message_sent_date?': 'long',
    latest_draft_or_message: 'object',
    ...under('latest_draft_or_message', MESSAGE),
  }),
};

/** Python answers "unknown" for an error without one of these, Java for a `provider_error` that is no object. */
export const REFUSAL: Members = {
  request_id: 'string',
  error: 'object',
  'error.type': 'string',
  'error.message': 'string',
  'error.provider_error?': 'object',
};

/** The members of what stands at `prefix`. */
export function under(prefix: string, members: Members): Members {
  return Object.fromEntries(Object.entries(members).map(([path, kind]) => [`${prefix}.${path}`, kind]));
}
