// The answers themselves, as Python, Ruby and Java have to read them: every resource, called as each SDK calls it.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { startWholeApi, type WholeApi } from '../support/whole-api.ts';
import { breaches } from './breaches.ts';
import {
  APPLICATION,
  DELETED,
  GRANT_LIST,
  IP_ADDRESSES,
  ONE_GRANT,
  ONE_MESSAGE,
  ONE_THREAD,
  ONE_WEBHOOK,
  SENT_MESSAGE,
  WEBHOOK_DELETED,
  WEBHOOK_LIST,
  WEBHOOK_WITH_SECRET,
} from './members.ts';
import { ask, expired, hook, MAIL, mailbox, next, PRACTICE, practiceMail, type Row, sendFrom } from './raw-rows.ts';

let api: WholeApi;

before(async () => {
  api = await startWholeApi();
});
after(async () => {
  await api.close();
});

const FULL_MAIL = {
  ...MAIL,
  to: [{ email: 'kim@example.com', name: 'Kim' }, { email: 'lee@example.com' }],
  cc: [{ email: 'cc@example.com', name: '' }],
  bcc: [{ email: 'bcc@example.com' }],
  reply_to: [{ email: 'desk@practice.test' }],
  from: [{ email: 'zoe@practice.test', name: 'Zoë' }],
  metadata: { key1: 'one' },
  attachments: [
    { filename: 'a.txt', content_type: 'text/plain', content: 'YQ==', size: 1 },
    { filename: 'b.png', content_type: 'image/png', content: 'YQ==', content_id: 'b', is_inline: true },
    { content: '' },
  ],
  tracking_options: { opens: true, links: true, thread_replies: true, label: 'a' },
};

const SUCCESSES: readonly Row[] = [
  {
    name: 'a webhook made',
    method: 'POST',
    path: () => '/v3/webhooks',
    body: (api) => ({ webhook_url: `${api.receiver.origin}/made/${next()}`, trigger_types: ['thread.replied'] }),
    status: 200,
    members: WEBHOOK_WITH_SECRET,
  },
  {
    name: 'a webhook found',
    method: 'GET',
    path: async (api) => `/v3/webhooks/${await hook(api)}`,
    status: 200,
    members: ONE_WEBHOOK,
  },
  { name: 'the webhooks', method: 'GET', path: () => '/v3/webhooks', status: 200, members: WEBHOOK_LIST },
  {
    name: 'a webhook changed',
    method: 'PUT',
    path: async (api) => `/v3/webhooks/${await hook(api)}`,
    body: () => ({ description: 'changed', notification_email_addresses: ['ops@example.com'] }),
    status: 200,
    members: ONE_WEBHOOK,
  },
  {
    name: 'a webhook paused',
    method: 'PUT',
    path: async (api) => `/v3/webhooks/${await hook(api)}`,
    body: () => ({ status: 'pause' }),
    status: 200,
    members: ONE_WEBHOOK,
  },
  {
    name: 'a secret rotated',
    method: 'POST',
    path: async (api) => `/v3/webhooks/rotate-secret/${await hook(api)}`,
    status: 200,
    members: WEBHOOK_WITH_SECRET,
  },
  {
    name: 'a secret rotated the way of Python',
    method: 'PUT',
    path: async (api) => `/v3/webhooks/${await hook(api)}/rotate-secret`,
    body: () => ({}),
    status: 200,
    members: WEBHOOK_WITH_SECRET,
  },
  {
    name: 'a webhook deleted',
    method: 'DELETE',
    path: async (api) => `/v3/webhooks/${await hook(api)}`,
    status: 200,
    members: WEBHOOK_DELETED,
  },
  {
    name: 'the addresses of the installation',
    method: 'GET',
    path: () => '/v3/webhooks/ip-addresses',
    status: 200,
    members: IP_ADDRESSES,
  },
  { name: 'the grants', method: 'GET', path: () => '/v3/grants?limit=50', status: 200, members: GRANT_LIST },
  {
    name: 'no grants',
    method: 'GET',
    path: () => '/v3/grants?email=nobody@example.com',
    status: 200,
    members: GRANT_LIST,
  },
  {
    name: 'a grant found by its address',
    method: 'GET',
    path: async (api, caller) => `/v3/grants/${caller.segment(await mailbox(api))}`,
    status: 200,
    members: ONE_GRANT,
  },
  {
    name: 'the practice grant found by its id',
    method: 'GET',
    path: (api) => `/v3/grants/${api.grant.id}`,
    status: 200,
    members: ONE_GRANT,
  },
  {
    name: 'an expired grant',
    method: 'GET',
    path: async (api, caller) => `/v3/grants/${caller.segment(await expired(api))}`,
    status: 200,
    members: ONE_GRANT,
  },
  {
    name: 'a grant changed',
    method: 'PATCH',
    path: (api) => `/v3/grants/${api.grant.id}`,
    body: () => ({ scope: ['mail.send'] }),
    status: 200,
    members: ONE_GRANT,
  },
  {
    name: 'a grant deleted',
    method: 'DELETE',
    path: async (api, caller) => `/v3/grants/${caller.segment(await mailbox(api))}`,
    status: 200,
    members: DELETED,
  },
  { name: 'the application', method: 'GET', path: () => '/v3/applications', status: 200, members: APPLICATION },
  {
    name: 'the application changed',
    method: 'PATCH',
    path: () => '/v3/applications',
    body: () => ({ tracking_settings: { notify_classes: null } }),
    status: 200,
    members: APPLICATION,
  },
  {
    name: 'a message sent',
    method: 'POST',
    path: sendFrom(PRACTICE),
    body: () => MAIL,
    status: 200,
    members: SENT_MESSAGE,
  },
  {
    name: 'a message sent with everything',
    method: 'POST',
    path: sendFrom(PRACTICE, '?fields=include_headers'),
    body: () => FULL_MAIL,
    status: 200,
    members: { ...SENT_MESSAGE, 'data.headers': 'objects', 'data.metadata': 'object' },
  },
  {
    name: 'a message sent with a warning',
    method: 'POST',
    path: sendFrom(PRACTICE),
    body: () => ({ ...MAIL, is_plaintext: true, tracking_options: { opens: true } }),
    status: 200,
    members: { ...SENT_MESSAGE, warnings: 'objects' },
  },
  {
    name: 'a message found',
    method: 'GET',
    path: async (api) => `/v3/grants/${api.grant.id}/messages/${(await practiceMail(api, FULL_MAIL)).id}`,
    status: 200,
    members: { ...ONE_MESSAGE, 'data.metadata': 'object', 'data.attachments[].content_disposition': 'string' },
  },
  {
    name: 'a message found with its headers',
    method: 'GET',
    path: async (api) =>
      `/v3/grants/${api.grant.id}/messages/${(await practiceMail(api, MAIL)).id}?fields=include_headers`,
    status: 200,
    members: { ...ONE_MESSAGE, 'data.headers': 'objects' },
  },
  {
    name: 'a message found with its tracking options',
    method: 'GET',
    path: async (api) =>
      `/v3/grants/${api.grant.id}/messages/${(await practiceMail(api, FULL_MAIL)).id}?fields=include_tracking_options`,
    status: 200,
    members: { ...ONE_MESSAGE, 'data.tracking_options': 'object' },
  },
  {
    name: 'a message of which only its row is left',
    method: 'GET',
    path: async (api) => {
      const { id } = await practiceMail(api, FULL_MAIL);
      await api.sql`delete from practice_messages`;
      return `/v3/grants/${api.grant.id}/messages/${id}`;
    },
    status: 200,
    members: ONE_MESSAGE,
  },
  {
    name: 'a thread found',
    method: 'GET',
    path: async (api, caller) =>
      `/v3/grants/${caller.segment(PRACTICE)}/threads/${(await practiceMail(api, FULL_MAIL)).threadId}`,
    status: 200,
    members: ONE_THREAD,
  },
  {
    name: 'a mailbox connected',
    method: 'POST',
    path: () => '/v3/connect/custom',
    body: (api) => ({ provider: 'imap', settings: api.mailbox, name: 'Bare', state: 'abc', scope: [] }),
    status: 201,
    members: { ...ONE_GRANT, 'data.state': 'string', 'data.name': 'string' },
  },
  {
    name: 'a mailbox connected for sending alone',
    method: 'POST',
    path: () => '/v3/connect/custom',
    body: ({ mailbox: { smtp_host, smtp_port, imap_password, imap_username } }) => ({
      provider: 'imap',
      settings: { smtp_host, smtp_port, smtp_username: imap_username, smtp_password: imap_password },
    }),
    status: 201,
    members: { ...ONE_GRANT, warnings: 'objects', 'warnings[].type': 'string', 'warnings[].message': 'string' },
  },
];

ask('answers that the SDKs can read', () => api, SUCCESSES);

it('JSON with a charset is JSON: okhttp may add one', async () => {
  const response = await fetch(`${api.url}/v3/webhooks/${await hook(api)}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json; charset=utf-8' },
    body: '{"description":"Größe"}',
  });
  const { status, headers } = response;
  const text = await response.text();
  assert.equal(status, 200, text);
  assert.deepEqual(breaches({ status, headers, text }, ONE_WEBHOOK), []);
  assert.equal(JSON.parse(text).data.description, 'Größe');
});
