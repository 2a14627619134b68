import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRanges } from '../addresses.ts';
import { readVisitor } from './visitor.ts';

const trusted = parseRanges('127.0.0.0/8');
const visitor = (...rawHeaders: string[]) =>
  readVisitor({ method: 'GET', target: '/', rawHeaders, peer: '::ffff:127.0.0.1' }, trusted);

test('a bare request', () => {
  assert.deepEqual(visitor(), {
    method: 'GET',
    prefetch: false,
    acceptLanguage: false,
    secFetchMode: false,
    ip: '127.0.0.1',
    userAgent: '',
    navigates: false,
  });
});

test('names are compared without case', () => {
  const seen = visitor('USER-agent', 'Mail/1', 'ACCEPT-language', 'en', 'sec-FETCH-mode', 'navigate');
  assert.deepEqual(
    [seen.userAgent, seen.acceptLanguage, seen.secFetchMode, seen.navigates],
    ['Mail/1', true, true, true],
  );
  assert.equal(visitor('Sec-Fetch-Mode', 'no-cors').navigates, false);
});

test('every header that announces a prefetch', () => {
  for (const name of ['Purpose', 'X-Purpose', 'Sec-Purpose', 'X-Moz', 'sec-purpose'])
    for (const value of ['prefetch', 'Preview', 'prefetch;prerender', 'prefetch;anonymous-client-ip'])
      assert.equal(visitor(name, value).prefetch, true, `${name}: ${value}`);
  for (const [name, value] of [
    ['Purpose', 'other'],
    ['Referer', 'prefetch'],
    ['X-Other', 'prefetch'],
    ['Trailer', 'prefetch'],
  ] as const)
    assert.equal(visitor(name, value).prefetch, false, `${name}: ${value}`);
});

test('the forwarded address counts behind a trusted proxy, over several header lines', () => {
  assert.equal(visitor('X-Forwarded-For', '6.6.6.6, 198.51.100.4').ip, '198.51.100.4');
  assert.equal(visitor('X-Forwarded-For', '198.51.100.4', 'x-forwarded-for', '127.0.0.9').ip, '198.51.100.4');
});

test('of two user agents the first counts', () => {
  assert.equal(visitor('User-Agent', 'one', 'User-Agent', 'two').userAgent, 'one');
});
