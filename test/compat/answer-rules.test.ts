import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Answered, type AnswerRules, makeAnswerRules } from '../support/answer-rules.ts';
import { startWholeApi, type WholeApi } from '../support/whole-api.ts';

const ID = '0b7c5a0e-3c5f-4a53-9f53-1f0f7d1f3a55';
const GRANT = {
  id: ID,
  provider: 'imap',
  grant_status: 'valid',
  email: 'kim@example.com',
  settings: { imap_host: 'imap.example.com' },
  scope: [],
  created_at: 1,
  updated_at: 1,
};
const REFUSAL = { type: 'api.not_found_error', message: 'Resource not found.' };

let api: WholeApi;
let rules: AnswerRules;

before(async () => {
  api = await startWholeApi();
  rules = makeAnswerRules(JSON.parse(await (await fetch(`${api.url}/openapi.json`)).text()));
});
after(async () => {
  await api.close();
});

interface Given {
  readonly path?: string;
  readonly method?: string;
  readonly status?: number;
  readonly type?: string;
  readonly id?: string;
  readonly body?: object;
  readonly text?: string;
}

function answered({ path = `/v3/grants/${ID}`, method = 'GET', status = 200, type, id, body, text }: Given): Answered {
  const headers: Readonly<Record<string, string>> = {
    'content-type': type ?? 'application/json',
    'x-request-id': id ?? ID,
  };
  const whole = { request_id: ID, ...(body ?? { data: GRANT }) };
  return { method, path, status, header: (name) => headers[name] ?? null, text: text ?? JSON.stringify(whole) };
}

describe('the rules that every answer of the tests is held against', () => {
  const GOOD: readonly (readonly [name: string, given: Given])[] = [
    ['a grant', {}],
    ['a grant with what it may have', { body: { data: { ...GRANT, name: 'Kim', email_aliases: [] } } }],
    ['a refusal', { status: 404, body: { error: REFUSAL } }],
    ['a refusal with the words of a provider', { status: 400, body: { error: { ...REFUSAL, provider_error: {} } } }],
    ['an unknown path', { path: '/v3/nothing', status: 404, body: { error: REFUSAL } }],
    ['the head of a grant', { method: 'HEAD', text: '' }],
    ['a page', { path: '/practice', type: 'text/html', text: '<p>' }],
  ];
  for (const [name, given] of GOOD) {
    it(`find nothing wrong with ${name}`, () => {
      assert.deepEqual(rules(answered(given)), []);
    });
  }

  const { email: _email, ...withoutAddress } = GRANT;
  const BAD: readonly (readonly [name: string, given: Given, found: RegExp])[] = [
    [
      'parameters of the Content-Type',
      { type: 'application/json; charset=utf-8' },
      /Content-Type is application\/json; /,
    ],
    ['another Content-Type', { type: 'text/html' }, /Content-Type is text\/html/],
    ['204', { status: 204, text: '' }, /its status is 204; its body is no JSON object/],
    ['a list', { text: '[]' }, /no JSON object/],
    ['another x-request-id', { id: 'another' }, /its request_id is not its x-request-id/],
    ['a null', { body: { data: { ...GRANT, name: null } } }, /data\/name must be string/],
    ['a missing member', { body: { data: withoutAddress } }, /must have required property 'email'/],
    ['an unknown member', { body: { data: { ...GRANT, secret: 'x' } } }, /must NOT have additional properties/],
    ['an unknown word', { body: { data: { ...GRANT, provider: 'zoom' } } }, /data\/provider/],
    [
      'a status that is not told of',
      { status: 409, body: { error: REFUSAL } },
      /getGrant does not say that it answers 409/,
    ],
    ['an error without a type', { status: 404, body: { error: { message: 'No.' } } }, /required property 'type'/],
    ['an error that is a text', { status: 404, body: { error: 'No.' } }, /error must be object/],
    ['an error beside data', { status: 404, body: { error: REFUSAL, data: {} } }, /an error and data/],
    ['a route that is not told of', { path: '/v3/nothing', body: { data: {} } }, /the document has no such route/],
  ];
  for (const [name, given, found] of BAD) {
    it(`find ${name}`, () => {
      assert.match(rules(answered(given)).join('; '), found);
    });
  }
});
