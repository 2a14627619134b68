// The refusals themselves, as Python, Ruby and Java have to read them, called as each SDK calls.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startWholeApi, type WholeApi } from '../support/whole-api.ts';
import { breaches } from './breaches.ts';
import { REFUSAL } from './members.ts';
import { ask, expired, MAIL, mailbox, PRACTICE, type Row, sendFrom } from './raw-rows.ts';

let api: WholeApi;
let trial: { readonly key: string; readonly email: string };

before(async () => {
  api = await startWholeApi();
  const { key, grant } = await api.application('sandbox');
  trial = { key, email: grant.email };
});
after(async () => {
  await api.close();
});

const LINKS = Array.from({ length: 101 }, (_, index) => `<a href="https://example.com/${index}">x</a>`).join('');

const REFUSALS: readonly Row[] = [
  { name: 'an unknown path', method: 'GET', path: () => '/v3/nothing/of/the/kind', status: 404, members: REFUSAL },
  {
    name: 'an unknown path without a key',
    method: 'POST',
    path: () => '/v4',
    status: 404,
    members: REFUSAL,
    key: () => '',
  },
  { name: 'a wrong method', method: 'PATCH', path: () => '/v3/webhooks', status: 405, members: REFUSAL },
  { name: 'a path badly encoded', method: 'GET', path: () => '/v3/grants/%zz', status: 400, members: REFUSAL },
  {
    name: 'a name too long',
    method: 'GET',
    path: () => `/v3/grants/${'x'.repeat(2000)}`,
    status: 404,
    members: REFUSAL,
  },
  { name: 'no key', method: 'GET', path: () => '/v3/webhooks', status: 401, members: REFUSAL, key: () => '' },
  {
    name: 'an unknown key',
    method: 'GET',
    path: () => '/v3/grants',
    status: 401,
    members: REFUSAL,
    key: () => 'nyk_x',
  },
  {
    name: 'an unknown grant',
    method: 'GET',
    path: (_api, caller) => `/v3/grants/${caller.segment('nobody@example.com')}`,
    status: 404,
    members: REFUSAL,
  },
  { name: 'me', method: 'GET', path: () => '/v3/grants/me', status: 401, members: REFUSAL },
  {
    name: 'an unknown grant to send from',
    method: 'POST',
    path: sendFrom('nobody@example.com'),
    body: () => MAIL,
    status: 404,
    members: REFUSAL,
  },
  {
    name: 'an unknown message',
    method: 'GET',
    path: (_api, caller) => `/v3/grants/${caller.segment(PRACTICE)}/messages/msg_unknown`,
    status: 404,
    members: REFUSAL,
  },
  {
    name: 'an unknown thread',
    method: 'GET',
    path: (_api, caller) => `/v3/grants/${caller.segment(PRACTICE)}/threads/thr_unknown`,
    status: 404,
    members: REFUSAL,
  },
  {
    name: 'a message of an expired grant',
    method: 'GET',
    path: async (api, caller) => `/v3/grants/${caller.segment(await expired(api))}/messages/msg_unknown`,
    status: 401,
    members: REFUSAL,
  },
  {
    name: 'an expired grant to send from',
    method: 'POST',
    path: sendFrom(expired),
    body: () => MAIL,
    status: 401,
    members: REFUSAL,
  },
  {
    name: 'a grant whose credentials are gone',
    method: 'POST',
    path: sendFrom(mailbox),
    body: () => MAIL,
    status: 403,
    members: { ...REFUSAL, 'error.provider_error': 'object' },
  },
  { name: 'an unknown webhook', method: 'GET', path: () => '/v3/webhooks/unknown', status: 400, members: REFUSAL },
  {
    name: 'an unknown webhook to rotate',
    method: 'POST',
    path: () => '/v3/webhooks/rotate-secret/unknown',
    status: 400,
    members: REFUSAL,
  },
  { name: 'a webhook without anything', method: 'POST', path: () => '/v3/webhooks', status: 400, members: REFUSAL },
  {
    name: 'a webhook that fails its challenge',
    method: 'POST',
    path: () => '/v3/webhooks',
    body: () => ({ webhook_url: 'https://192.168.0.1/', trigger_types: ['message.opened'] }),
    status: 400,
    members: REFUSAL,
  },
  { name: 'a message to nobody', method: 'POST', path: sendFrom(PRACTICE), status: 400, members: REFUSAL },
  {
    name: 'a wrong query',
    method: 'POST',
    path: sendFrom(PRACTICE, '?fields=odd'),
    body: () => MAIL,
    status: 400,
    members: REFUSAL,
  },
  {
    name: 'too many links',
    method: 'POST',
    path: sendFrom(PRACTICE),
    body: () => ({ ...MAIL, body: LINKS, tracking_options: { links: true } }),
    status: 400,
    members: REFUSAL,
  },
  {
    name: 'tracking for a trial',
    method: 'POST',
    path: (_api, caller) => `/v3/grants/${caller.segment(trial.email)}/messages/send`,
    body: () => ({ ...MAIL, tracking_options: { opens: true } }),
    key: () => trial.key,
    status: 403,
    members: REFUSAL,
  },
  {
    name: 'an unknown parent',
    method: 'POST',
    path: sendFrom(PRACTICE),
    body: () => ({ ...MAIL, reply_to_message_id: '18ac281f237c934b' }),
    status: 404,
    members: REFUSAL,
  },
  {
    name: 'a setting that is none',
    method: 'PATCH',
    path: () => '/v3/applications',
    body: () => ({ tracking_settings: { colour: 'red' } }),
    status: 400,
    members: REFUSAL,
  },
  {
    name: 'a mailbox with a wrong password',
    method: 'POST',
    path: () => '/v3/connect/custom',
    body: (api) => ({ provider: 'imap', settings: { ...api.mailbox, imap_password: 'wrong' } }),
    status: 400,
    members: { ...REFUSAL, 'error.provider_error': 'object' },
  },
  {
    name: 'a mailbox without a password',
    method: 'POST',
    path: () => '/v3/connect/custom',
    body: () => ({ provider: 'imap', settings: { imap_username: 'kim@example.com' } }),
    status: 400,
    members: REFUSAL,
  },
  {
    name: 'a provider that is not built',
    method: 'POST',
    path: () => '/v3/connect/custom',
    body: () => ({ provider: 'ews', settings: {} }),
    status: 400,
    members: REFUSAL,
  },
];

ask('refusals that the SDKs can read', () => api, REFUSALS);

describe('bodies that cannot be read are refused in a way that can', () => {
  const cases: readonly (readonly [name: string, body: string | Buffer, type: string, status: number])[] = [
    ['invalid JSON', '{"to":', 'application/json', 400],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'application/json', 400],
    ['a list', '[]', 'application/json', 400],
    ['null', 'null', 'application/json', 400],
    ['a string', '"x"', 'application/json', 400],
    ['too much', JSON.stringify({ description: 'x'.repeat(4_000_000) }), 'application/json', 413],
    ['a form', 'a=b', 'application/x-www-form-urlencoded', 415],
    ['XML', '<a/>', 'text/xml', 415],
  ];
  for (const [name, body, type, expected] of cases) {
    it(name, async () => {
      const response = await fetch(`${api.url}/v3/webhooks`, {
        method: 'POST',
        headers: { authorization: `Bearer ${api.key}`, 'content-type': type },
        body,
      });
      const { status, headers } = response;
      const text = await response.text();
      assert.equal(status, expected, text);
      assert.deepEqual(breaches({ status, headers, text }, REFUSAL), [], text);
    });
  }
});
