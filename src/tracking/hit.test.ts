import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseKeyring } from '../keyring.ts';
import { decodeHit, encodeHit, LONGEST_RECORD, type NewHit, recordEnd } from './hit.ts';
import { linkUrl, pixelUrl, readLink, readPixel, tokenKeys } from './token.ts';

const keys = tokenKeys(parseKeyring('correct horse battery staple'));
const message = '0193d1a0-8c5b-7d3e-9f00-0123456789ab';
const NOW = Date.UTC(2026, 10, 21, 12, 0, 0, 123);

function pixelIdentity(): Buffer {
  const bytes = readPixel(keys, pixelUrl(keys, '', { app: 7, grant: 9, message }));
  assert.ok(bytes);
  return bytes;
}

function linkIdentity(): Buffer {
  const link = readLink(keys, linkUrl(keys, '', { app: 7, grant: 9, message, link: 3 }, 'https://espn.com'));
  assert.ok(link.kind === 'good');
  return link.identity;
}

const plain: NewHit = {
  identity: pixelIdentity(),
  method: 'GET',
  prefetch: false,
  acceptLanguage: true,
  secFetchMode: false,
  ip: '192.0.2.7',
  userAgent: 'Mozilla/5.0',
};

function roundTrip(hit: NewHit) {
  const bytes = Buffer.alloc(LONGEST_RECORD + 10, 0xee);
  const end = encodeHit(bytes, 5, hit, NOW);
  assert.equal(recordEnd(bytes, 5), end);
  assert.ok(end - 5 <= LONGEST_RECORD);
  assert.equal(bytes[4], 0xee);
  assert.equal(bytes[end], 0xee, 'nothing is written after the record');
  const back = decodeHit(bytes, 5, end);
  assert.ok(back);
  return back;
}

test('a hit comes back as it went', () => {
  const { id, ...open } = roundTrip(plain);
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16), NOW);
  assert.deepEqual(open, {
    kind: 'open',
    at: new Date(NOW),
    app: 7,
    grant: 9,
    message,
    link: 0,
    method: 'GET',
    prefetch: false,
    acceptLanguage: true,
    secFetchMode: false,
    ip: '192.0.2.7',
    userAgent: 'Mozilla/5.0',
  });
  const click = roundTrip({ ...plain, identity: linkIdentity(), method: 'HEAD', prefetch: true, secFetchMode: true });
  assert.deepEqual(
    [click.kind, click.link, click.method, click.prefetch, click.secFetchMode],
    ['click', 3, 'HEAD', true, true],
  );
  assert.equal(roundTrip({ ...plain, method: 'OPTIONS' }).method, 'OPTIONS');
  assert.equal(roundTrip({ ...plain, method: 'PROPFIND' }).method, 'other');
});

test('text is made fit for a database', () => {
  const agent = (userAgent: string): string => roundTrip({ ...plain, userAgent }).userAgent;
  const table: [given: string, kept: string][] = [
    ['', ''],
    ['a\u0000b\u0001\u007f\u0085c', 'a b c'],
    ['tab\there', 'tab here'],
    [Buffer.from('Почта/1.0 😀').toString('latin1'), 'Почта/1.0 😀'],
    ['caf\u00e9', 'café'],
    ['lone \ud800 surrogate', 'lone \ufffd surrogate'],
    ['x'.repeat(1024), 'x'.repeat(1024)],
    ['x'.repeat(5000), 'x'.repeat(1024)],
    ['\u00e9'.repeat(5000), 'é'.repeat(512)],
    [`x${Buffer.from('😀'.repeat(400)).toString('latin1')}`, `x${'😀'.repeat(255)}`],
    ['\u0000'.repeat(5000), ''],
  ];
  for (const [given, kept] of table) assert.equal(agent(given), kept, JSON.stringify(given.slice(0, 30)));
  assert.equal(roundTrip({ ...plain, ip: 'x'.repeat(46) }).ip, '');
  assert.equal(roundTrip({ ...plain, ip: 'f'.repeat(45) }).ip.length, 45);
});

test('ids never repeat', () => {
  const ids = new Set(Array.from({ length: 5000 }, () => roundTrip(plain).id));
  assert.equal(ids.size, 5000);
});

test('a record that is not whole, or of another version, is not read', () => {
  const bytes = Buffer.alloc(LONGEST_RECORD);
  const end = encodeHit(bytes, 0, plain, NOW);
  for (let cut = 0; cut < end; cut++) assert.equal(recordEnd(bytes.subarray(0, cut), 0), -1, `${cut}`);
  const other = Buffer.from(bytes);
  other[19] = 0x21;
  assert.equal(decodeHit(other, 0, end), null);
  const lengths = Buffer.from(bytes);
  lengths[47] = 200;
  assert.equal(decodeHit(lengths, 0, end), null);
});
