import assert from 'node:assert/strict';
import { test } from 'node:test';
import { breaches, type RawAnswer } from './breaches.ts';
import type { Members } from './members.ts';

const MEMBERS: Members = {
  data: 'objects',
  'data[].id': 'string',
  'data[].at': 'long',
  'data[].size': 'int',
  'data[].status': ['on', 'off'],
  'data[].names': 'strings',
  'data[].inner?': 'object',
  'data[].inner.flag': 'boolean',
  'list.chosen': 'strings or null',
  'next?': 'string or null',
};
const ITEM = { id: 'x', at: 2 ** 40, size: 1, status: 'on', names: ['a'] };

function answered(body: unknown, status = 200, type = 'application/json'): RawAnswer {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { status, headers: new Headers({ 'content-type': type, 'x-request-id': 'r' }), text };
}

const good = (item: object): object => ({ request_id: 'r', data: [{ ...ITEM, ...item }] });

test('a good answer breaks nothing', () => {
  assert.deepEqual(breaches(answered(good({})), MEMBERS), []);
  assert.deepEqual(breaches(answered(good({ inner: { flag: false } })), MEMBERS), []);
  assert.deepEqual(breaches(answered({ request_id: 'r', data: [], list: { chosen: null } }), MEMBERS), []);
  for (const next of [null, 'x']) assert.deepEqual(breaches(answered({ ...good({}), next }), MEMBERS), []);
});

const BAD: readonly (readonly [answer: RawAnswer, breach: string])[] = [
  [answered(good({}), 200, 'application/json; charset=utf-8'), 'Content-Type is application/json; charset=utf-8'],
  [answered(good({}), 204), 'the status is 204'],
  [answered(good({}), 203), 'the status is 203'],
  [answered(''), 'the body is no JSON object'],
  [answered([good({})]), 'the body is no JSON object'],
  [answered('<html>'), 'the body is no JSON object'],
  [answered({ ...good({}), request_id: 'other' }), 'request_id is not the x-request-id'],
  [answered({ data: [ITEM] }), 'request_id is not the x-request-id'],
  [answered(good({ extra: [{ deep: null }] })), 'data.0.extra.0.deep is null'],
  [answered({ request_id: 'r', data: { items: [] } }), 'data is {"items":[]}, not objects'],
  [answered({ request_id: 'r' }), 'data is missing, not objects'],
  [answered(good({ id: 1 })), 'data[0].id is 1, not string'],
  [answered(good({ id: undefined })), 'data[0].id is missing, not string'],
  [answered(good({ at: '1' })), 'data[0].at is "1", not long'],
  [answered(good({ at: 1.5 })), 'data[0].at is 1.5, not long'],
  [answered(good({ size: 2 ** 31 })), 'data[0].size is 2147483648, not int'],
  [answered(good({ status: 'pause' })), 'data[0].status is "pause", not a known word'],
  [answered(good({ names: ['a', 1] })), 'data[0].names is ["a",1], not strings'],
  [answered(good({ inner: 'text' })), 'data[0].inner is "text", not object'],
  [answered(good({ inner: {} })), 'data[0].inner.flag is missing, not boolean'],
  [answered({ ...good({}), list: { chosen: [1] } }), 'list.chosen is [1], not strings or null'],
  [answered({ ...good({}), next: 1 }), 'next is 1, not string or null'],
  [answered({ ...good({}), error: {} }), 'a success has an error'],
  [answered(good({}), 400), 'a refusal has data'],
];
for (const [answer, breach] of BAD) {
  test(`it is told that ${breach}`, () => {
    assert.ok(breaches(answer, MEMBERS).includes(breach), breaches(answer, MEMBERS).join('\n'));
  });
}
