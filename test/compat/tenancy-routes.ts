// What every route of the API names, for the test that asks at all of them.
import type { Kind } from '../support/two-tenants.ts';

export interface Walk {
  /** What the parameters of the path name, in their order. */
  readonly path?: readonly (Kind | typeof FIRST)[];
  /** What parameters of the query name. */
  readonly query?: Readonly<Record<string, Kind>>;
  /** A body that is right; `name` gives the name of one of a kind. */
  readonly body?: (name: (kind: Kind) => string) => object;
  /** What its owner is answered where everything is right, but for success. */
  readonly refusedAnyway?: number;
}

/** A number in a path, which is no name. */
export const FIRST = '0';
/** Needs no key and shows nothing of any application. */
export const OPEN = 'open';

export const MAIL = { to: [{ email: 'kim@example.com' }], subject: 'Hello', body: '<p>Hello</p>' };
const answering = (name: (kind: Kind) => string): object => ({ ...MAIL, reply_to_message_id: name('message') });
const drafted = (name: (kind: Kind) => string): object => ({
  ...answering(name),
  attachments: [{ id: name('attachment'), filename: 'a.txt', content_type: 'text/plain', content: 'YQ==' }],
});
const LISTED = { message_id: 'message', page_token: 'cursor' } as const;

/** Every route. One that is missing here makes the test fail: a line says what it names. */
export const ROUTES: Readonly<Record<string, Walk | typeof OPEN>> = {
  'GET /': OPEN,
  'GET /sign-in': OPEN,
  'GET /openapi.json': OPEN,
  'GET /docs': OPEN,
  'GET /docs/docs.css': OPEN,

  'GET /v3/applications': {},
  'PATCH /v3/applications': { body: (name) => ({ branding: { name: name('called') } }) },
  'GET /v3/applications/redirect-uris': {},
  'POST /v3/applications/redirect-uris': { body: (name) => ({ url: `${name('redirect url')}made` }) },
  'GET /v3/applications/redirect-uris/:id': { path: ['redirect uri'] },
  'PATCH /v3/applications/redirect-uris/:id': { path: ['redirect uri'], body: () => ({ platform: 'web' }) },
  'PUT /v3/applications/redirect-uris/:id': { path: ['redirect uri'], body: () => ({ platform: 'web' }) },
  'DELETE /v3/applications/redirect-uris/:id': { path: ['redirect uri'] },

  'POST /v3/connect/custom': {
    body: (name) => ({
      provider: 'imap',
      settings: {
        email: name('address'),
        imap_username: 'x',
        imap_password: 'x',
        smtp_host: '127.0.0.1',
        smtp_port: 1,
      },
    }),
    refusedAnyway: 400,
  },
  'GET /v3/grants': { query: { email: 'address' } },
  'GET /v3/grants/:identifier': { path: ['grant'] },
  'PATCH /v3/grants/:identifier': { path: ['grant'], body: () => ({ scope: ['mail'] }) },
  'DELETE /v3/grants/:identifier': { path: ['grant'] },

  'POST /v3/grants/:identifier/messages/send': { path: ['grant'], body: drafted },
  'GET /v3/grants/:identifier/messages/:message_id': { path: ['grant', 'message'] },
  'GET /v3/grants/:identifier/threads/:thread_id': { path: ['grant', 'thread'] },
  'GET /v3/grants/:identifier/messages/schedules': { path: ['grant'] },
  'GET /v3/grants/:identifier/messages/schedules/:schedule_id': { path: ['grant', 'schedule'] },
  'DELETE /v3/grants/:identifier/messages/schedules/:schedule_id': { path: ['grant', 'schedule'] },

  'GET /v3/grants/:identifier/drafts': {
    path: ['grant'],
    query: { thread_id: 'thread', page_token: 'draft', any_email: 'address', metadata_pair: 'pair' },
  },
  'POST /v3/grants/:identifier/drafts': { path: ['grant'], body: drafted },
  'GET /v3/grants/:identifier/drafts/:draft_id': { path: ['grant', 'draft'] },
  'PUT /v3/grants/:identifier/drafts/:draft_id': { path: ['grant', 'draft'], body: drafted },
  'POST /v3/grants/:identifier/drafts/:draft_id': { path: ['grant', 'draft to send'] },
  'DELETE /v3/grants/:identifier/drafts/:draft_id': { path: ['grant', 'draft'] },

  'GET /v3/webhooks': {},
  'POST /v3/webhooks': {
    body: (name) => ({ webhook_url: `${name('hook')}/made`, trigger_types: ['message.opened'] }),
  },
  'GET /v3/webhooks/ip-addresses': {},
  'POST /v3/webhooks/mock-payload': { body: () => ({ trigger_type: 'message.opened' }) },
  'POST /v3/webhooks/send-test-event': {
    body: (name) => ({ webhook_url: name('hook'), trigger_type: 'message.opened' }),
  },
  'GET /v3/webhooks/:id': { path: ['webhook'] },
  'PUT /v3/webhooks/:id': { path: ['webhook'], body: () => ({ description: 'changed' }) },
  'DELETE /v3/webhooks/:id': { path: ['webhook'] },
  'POST /v3/webhooks/rotate-secret/:id': { path: ['webhook'] },
  'PUT /v3/webhooks/:id/rotate-secret': { path: ['webhook'] },
  'GET /v3/channels/pubsub': {},
  'POST /v3/channels/pubsub': { body: () => ({ trigger_types: ['message.opened'] }), refusedAnyway: 400 },
  'GET /v3/channels/pubsub/:id': { path: ['channel'] },
  'PUT /v3/channels/pubsub/:id': { path: ['channel'], body: () => ({ description: 'changed' }) },
  'DELETE /v3/channels/pubsub/:id': { path: ['channel'] },
  ...deliveriesBelow('/v3/webhooks', 'webhook'),
  ...deliveriesBelow('/v3/channels/pubsub', 'channel'),
  'GET /v3/notifications': { query: { grant_id: 'grant', ...LISTED } },
  'GET /v3/notifications/:id': { path: ['notification'] },

  'GET /practice': {},
  'GET /practice/practice.js': {},
  'GET /practice/practice.css': {},
  'GET /practice/grants': {},
  'POST /practice/grants': {
    body: (name) => ({ email: `a${name('address')}`, application_id: name('application') }),
  },
  'POST /practice/grants/:id/expire': { path: ['practice grant'] },
  'POST /practice/grants/:id/send': { path: ['practice grant'], body: answering },
  'GET /practice/messages': {},
  'GET /practice/messages/:id': { path: ['practice mail'] },
  'GET /practice/messages/:id/raw': { path: ['practice mail'] },
  'GET /practice/messages/:id/view': { path: ['practice mail'] },
  'GET /practice/messages/:id/attachments/:index': { path: ['practice mail', FIRST] },
  'POST /practice/messages/:id/reply': { path: ['practice mail'], body: () => ({ text: 'Hello' }) },
};

function deliveriesBelow(base: string, kind: Kind): Record<string, Walk> {
  return {
    [`POST ${base}/:id/replay`]: { path: [kind], body: (name) => ({ notification_ids: [name('notification')] }) },
    [`GET ${base}/:id/counters`]: { path: [kind] },
    [`GET ${base}/:id/deliveries`]: { path: [kind], query: LISTED },
    [`GET ${base}/:id/deliveries/:notification_id`]: { path: [kind, 'notification'] },
    [`POST ${base}/:id/deliveries/:notification_id/retry`]: { path: [kind, 'notification'] },
  };
}

export function entryOf(route: string): Walk | typeof OPEN | undefined {
  return ROUTES[route] ?? ROUTES[route.replace(/^HEAD /, 'GET ')];
}

/** Where a request names something: in a step of its path, a parameter of its query, or its body. */
export interface Slot {
  readonly where: string;
  readonly kind: Kind;
}

export function slotsOf({ path = [], query = {}, body }: Walk): readonly Slot[] {
  const slots: Slot[] = path.flatMap((kind, step) => (kind === FIRST ? [] : [{ where: `path ${step}`, kind }]));
  for (const [name, kind] of Object.entries(query)) slots.push({ where: `query ${name}`, kind });
  const named = new Set<Kind>();
  body?.((kind) => {
    named.add(kind);
    return '';
  });
  for (const kind of named) slots.push({ where: `body ${kind}`, kind });
  return slots;
}
