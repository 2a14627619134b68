// The requests that were recorded: what the tests of this suite send has to be just that.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, JAVA, PYTHON, RUBY, type WireCall, type WireSdk } from '../support/sdk-bytes.ts';

const LIST = {
  method: 'GET',
  key: 'KEY',
  query: {
    limit: 2,
    subject: 'Grüße',
    any_email: ['kim@example.com', 'x@example.com'],
    starred: true,
    metadata_pair: { key1: 'on hold' },
  },
};

function sent(sdk: WireSdk, call: Omit<WireCall, 'path'>, end: string): readonly string[] {
  const path = `/v3/grants/${sdk.segment('sender@practice.test')}/drafts${end}`;
  return bytesOf(sdk, 8080, { ...call, path })
    .toString()
    .split('\r\n');
}

test('Python: repeated parameters, True, and no body at all to send a draft', () => {
  assert.equal(
    sent(PYTHON, LIST, '')[0],
    'GET /v3/grants/sender@practice.test/drafts?limit=2&subject=Gr%C3%BC%C3%9Fe&any_email=kim%40example.com&any_email=x%40example.com&starred=True&metadata_pair=key1:on%20hold HTTP/1.1',
  );
  assert.deepEqual(sent(PYTHON, { method: 'POST', key: 'KEY' }, '/dft_x'), [
    'POST /v3/grants/sender@practice.test/drafts/dft_x HTTP/1.1',
    'Host: 127.0.0.1:8080',
    'User-Agent: Nylas Python SDK 6.17.0 - 3.11.2',
    'Accept-Encoding: gzip, deflate',
    'Accept: */*',
    'Connection: keep-alive',
    'X-Nylas-API-Wrapper: python',
    'Authorization: Bearer KEY',
    'Content-Length: 0',
    '',
    '',
  ]);
  const body = { to: [{ name: 'Größe' }], starred: true };
  const text = '{"to": [{"name": "Größe"}], "starred": true}';
  assert.deepEqual(sent(PYTHON, { method: 'POST', key: 'KEY', body }, '').slice(-4), [
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(text)}`,
    '',
    text,
  ]);
});

test('Ruby: repeated parameters, and {} where there is nothing to say', () => {
  assert.equal(
    sent(RUBY, LIST, '')[0],
    'GET /v3/grants/sender@practice.test/drafts?limit=2&subject=Gr%C3%BC%C3%9Fe&any_email=kim%40example.com&any_email=x%40example.com&starred=true&metadata_pair=key1%3Aon+hold HTTP/1.1',
  );
  assert.deepEqual(sent(RUBY, { method: 'POST', key: 'KEY' }, '/dft_x'), [
    'POST /v3/grants/sender@practice.test/drafts/dft_x HTTP/1.1',
    'X-Nylas-Api-Wrapper: ruby',
    'User-Agent: Nylas Ruby SDK 6.8.0 - 3.1.2',
    'Authorization: Bearer KEY',
    'Content-Type: application/json',
    'Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3',
    'Accept: */*',
    'Connection: close',
    'Host: 127.0.0.1:8080',
    'Content-Length: 2',
    '',
    '{}',
  ]);
});

test('Java: lists with commas or their first value, and JSON of no bytes to send a draft', () => {
  const query = { any_email: ['a@x.test', 'b+c@x.test'], to: ['a@x.test', 'b@x.test'], subject: "a+b 'c' (d)! *~:/é" };
  assert.equal(
    sent(JAVA, { method: 'GET', key: 'KEY', query }, '')[0],
    'GET /v3/grants/sender%40practice.test/drafts?any_email=a%40x.test%2Cb%2Bc%40x.test&to=a%40x.test&subject=a%2Bb%20%27c%27%20%28d%29%21%20*%7E%3A%2F%C3%A9 HTTP/1.1',
  );
  assert.deepEqual(sent(JAVA, { method: 'POST', key: 'KEY' }, '/dft_x').slice(1), [
    'Authorization: Bearer KEY',
    'User-Agent: Nylas Java SDK 2.18.1',
    'Accept: application/json',
    'Content-Type: application/json',
    'Content-Length: 0',
    'Host: 127.0.0.1:8080',
    'Connection: Keep-Alive',
    'Accept-Encoding: gzip',
    '',
    '',
  ]);
  assert.deepEqual(sent(JAVA, { method: 'DELETE', key: 'KEY' }, '/dft_x').slice(4, 6), [
    'Host: 127.0.0.1:8080',
    'Connection: Keep-Alive',
  ]);
});
