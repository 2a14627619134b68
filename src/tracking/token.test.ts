import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { parseKeyring } from '../keyring.ts';
import {
  type Identity,
  identityOf,
  linkUrl,
  ownLink,
  ownPixel,
  pixelUrl,
  readLink,
  readPixel,
  tokenKeys,
} from './token.ts';

const keys = tokenKeys(parseKeyring('3:a younger secret - as good,1:correct horse battery staple'));
const ORIGIN = 'https://t.example.com';
const identity: Identity = {
  app: 7,
  grant: 4_000_000_001,
  message: '0193d1a0-8c5b-7d3e-9f00-0123456789ab',
  link: 65_535,
};
const DESTINATIONS = [
  'https://espn.com',
  'https://example.com/path?a=1&b=2#frag',
  'https://example.com/?utm_source=mail&utm_medium=e-mail&x=%20%2F%3F',
  'https://user.example.com:8443/a/b/c.html?q=a+b',
  'https://пример.example/путь?я=да',
  'https://example.com/emoji/😀',
  'mailto:someone@example.com?subject=Hello%20there',
  'tel:+1-555-0100',
  `https://example.com/${'long/'.repeat(100)}`,
];

const pathOf = (url: string): string => url.slice(ORIGIN.length);

test('a link carries its identity and destination', () => {
  for (const destination of DESTINATIONS) {
    const path = pathOf(linkUrl(keys, ORIGIN, identity, destination));
    assert.match(path, /^\/c\/[\w-]{80}\/[\w-]+$/);
    const link = readLink(keys, path);
    assert.ok(link.kind === 'good', destination);
    assert.equal(link.destination, destination);
    assert.deepEqual(identityOf(link.identity), identity);
  }
});

test('a pixel carries its identity', () => {
  const path = pathOf(pixelUrl(keys, ORIGIN, identity));
  assert.match(path, /^\/o\/[\w-]{59}\.gif$/);
  const bytes = readPixel(keys, path);
  assert.ok(bytes);
  assert.deepEqual(identityOf(bytes), { ...identity, link: 0 });
});

// These bytes are in delivered mail: a change of either line breaks every link ever sent.
test('the format is pinned', () => {
  assert.equal(
    linkUrl(keys, '', { ...identity, link: 2 }, 'https://espn.com'),
    '/c/EgMAAAAH7msoAQGT0aCMW30-nwABI0VniasAAne381LEtFi3iwF0ZHetTL761izuqg0GetHgvpwtmRyf/aHR0cHM6Ly9lc3BuLmNvbQ',
  );
  assert.equal(pixelUrl(keys, '', identity), '/o/EQMAAAAH7msoAQGT0aCMW30-nwABI0VniasAAJCpwz7SVj09Q-Tjq-1RYsE.gif');
});

test('the layout is the documented one', () => {
  const bytes = Buffer.from(linkUrl(keys, '', identity, 'https://espn.com').slice(3, 83), 'base64url');
  const head = bytes.subarray(0, 28);
  assert.equal(head.toString('hex'), '1203' + '00000007' + 'ee6b2801' + '0193d1a08c5b7d3e9f000123456789ab' + 'ffff');
  const key = parseKeyring('3:a younger secret - as good').derive(3, 'token');
  const mac = (...parts: Buffer[]) => createHmac('sha256', key).update(Buffer.concat(parts)).digest().subarray(0, 16);
  assert.deepEqual(bytes.subarray(28, 44), mac(Buffer.of(1), head));
  assert.deepEqual(bytes.subarray(44), mac(Buffer.of(2), head, Buffer.from('https://espn.com')));
});

test('a link over 1,000 characters leaves its destination to the row', () => {
  let fits = 'https://example.com/'.padEnd(600, 'x');
  while (linkUrl(keys, ORIGIN, identity, `${fits}x`).length > 110) fits += 'x';
  const last = linkUrl(keys, ORIGIN, identity, fits);
  assert.ok(last.length <= 1000 && last.length > 996, `${last.length}`);
  const without = linkUrl(keys, ORIGIN, identity, `${fits}x`);
  assert.equal(without.length, ORIGIN.length + 83);
  const link = readLink(keys, pathOf(without));
  assert.ok(link.kind === 'identity');
  assert.deepEqual(identityOf(link.identity), identity);
});

test('old keys keep verifying, unknown ones do not', () => {
  const old = tokenKeys(parseKeyring('1:correct horse battery staple'));
  const path = pathOf(linkUrl(old, ORIGIN, identity, 'https://espn.com'));
  assert.equal(readLink(keys, path).kind, 'good');
  assert.equal(readLink(old, pathOf(linkUrl(keys, ORIGIN, identity, 'https://espn.com'))).kind, 'forged');
});

test('every flipped bit is noticed', () => {
  const path = pathOf(linkUrl(keys, ORIGIN, identity, 'https://espn.com'));
  const [, , token = '', target = ''] = path.split('/');
  const bytes = Buffer.from(token, 'base64url');
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const bent = Buffer.from(bytes);
    bent[bit >> 3] = (bent[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const link = readLink(keys, `/c/${bent.toString('base64url')}/${target}`);
    const expected = bit < 28 * 8 ? 'forged' : bit < 44 * 8 ? 'good' : 'identity';
    assert.equal(link.kind, expected, `bit ${bit}`);
  }
  const wanted = Buffer.from(target, 'base64url');
  for (let bit = 0; bit < wanted.length * 8; bit++) {
    const bent = Buffer.from(wanted);
    bent[bit >> 3] = (bent[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(readLink(keys, `/c/${token}/${bent.toString('base64url')}`).kind, 'identity', `target bit ${bit}`);
  }
  const pixel = Buffer.from(pathOf(pixelUrl(keys, ORIGIN, identity)).slice(3, 62), 'base64url');
  for (let bit = 0; bit < pixel.length * 8; bit++) {
    const bent = Buffer.from(pixel);
    bent[bit >> 3] = (bent[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(readPixel(keys, `/o/${bent.toString('base64url')}.gif`), null, `pixel bit ${bit}`);
  }
});

test('a pixel token is no link token and the other way round', () => {
  const link = pathOf(linkUrl(keys, ORIGIN, identity, 'https://espn.com'));
  const pixel = pathOf(pixelUrl(keys, ORIGIN, identity));
  assert.equal(readPixel(keys, link.replace('/c/', '/o/')), null);
  assert.equal(readLink(keys, pixel.replace('/o/', '/c/')).kind, 'forged');
  assert.equal(readLink(keys, link.replace('/c/', '/o/')).kind, 'forged');
  // MAC1 in the place of MAC2 must not prove an empty or any other destination.
  const bytes = Buffer.from(link.slice(3, 83), 'base64url');
  bytes.copy(bytes, 44, 28, 44);
  for (const target of ['', '/', '/aA', '/aHR0cHM6Ly9ldmlsLmV4YW1wbGU'])
    assert.equal(readLink(keys, `/c/${bytes.toString('base64url')}${target}`).kind, 'identity');
});

const percentAll = (text: string): string => text.replace(/[-_A-Z]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
const MANGLINGS: [name: string, mangle: (url: string) => string][] = [
  ['as sent', (url) => url],
  ['query added', (url) => `${url}?utm_source=mail&fbclid=abc`],
  ['empty query', (url) => `${url}?`],
  ['fragment added', (url) => `${url}#top`],
  ['parameter without a question mark', (url) => `${url}&utm_source=mail`],
  ['entity', (url) => `${url}&amp;x=1`],
  ['path junk', (url) => `${url}/index.html?x=/c/`],
  ['trailing slash', (url) => `${url}/`],
  ['full stop', (url) => `${url}.`],
  ['bracket and comma', (url) => `${url}),`],
  ['angle bracket, escaped', (url) => `${url}%3E`],
  ['no-break space', (url) => `${url}%C2%A0`],
  ['padding', (url) => `${url}==`],
  ['padding in quoted-printable', (url) => `${url}=3D=3D`],
  ['everything escaped', percentAll],
  ['everything escaped twice', (url) => percentAll(url).replaceAll('%', '%25')],
  ['query escaped into the path', (url) => `${url}%3Futm_source%3Dmail`],
  ['doubled slashes', (url) => url.replaceAll('/', '//').replace('https:////', 'https://')],
  ['escaped slash before the destination', (url) => url.replace(/\/(?=[^/]+$)/, '%2F')],
  ['line break', (url) => `${url.slice(0, 70)}%0D%0A${url.slice(70)}`],
  ['soft line break of quoted-printable', (url) => `${url.slice(0, 120)}%3D%0D%0A${url.slice(120)}`],
  ['space', (url) => `${url.slice(0, 76)}%20${url.slice(76)}`],
  ['tab', (url) => `${url.slice(0, 118)}%09${url.slice(118)}`],
];

for (const [name, mangle] of MANGLINGS) {
  test(`mangled link: ${name}`, () => {
    for (const destination of DESTINATIONS) {
      const url = linkUrl(keys, ORIGIN, identity, destination);
      const link = readLink(keys, pathOf(mangle(url)));
      assert.ok(link.kind === 'good', `${destination} ${link.kind}`);
      assert.equal(link.destination, destination);
      assert.equal(ownLink(keys, mangle(url))?.destination, destination);
    }
    const pixel = mangle(pixelUrl(keys, ORIGIN, identity));
    assert.ok(readPixel(keys, pathOf(pixel)), pixel);
  });
}

test('a proxy may send the absolute form', () => {
  assert.equal(readLink(keys, linkUrl(keys, 'http://t.example.com', identity, 'https://espn.com')).kind, 'good');
  assert.ok(readPixel(keys, pixelUrl(keys, 'http://t.example.com', identity)));
});

test('a damaged or missing destination leaves the identity', () => {
  const path = pathOf(linkUrl(keys, ORIGIN, identity, 'https://example.com/path?a=1'));
  const token = path.slice(0, 83);
  const variants = [
    token,
    `${token}/`,
    `${token}?u=x`,
    `${token}///`,
    path.slice(0, -1),
    path.slice(0, 90),
    `${path}x`,
    token + path.slice(83).toLowerCase(),
    `${token}/${'A'.repeat(5000)}`,
    `${token}/${Buffer.from('https://evil.example').toString('base64url')}`,
  ];
  for (const variant of variants) assert.equal(readLink(keys, variant).kind, 'identity', variant.slice(83, 120));
});

test('what is not ours is forged, whatever it looks like', () => {
  const good = pathOf(linkUrl(keys, ORIGIN, identity, 'https://espn.com'));
  const nonsense = [
    '',
    '/',
    '/c',
    '/c/',
    '/c//',
    '/o/',
    '/o/.gif',
    good.slice(0, 82),
    `/c/${'A'.repeat(80)}`,
    `/c/${'é'.repeat(80)}`,
  ];
  for (const path of [...nonsense, '/c/%', '/c/%%%25', `/c/${'%25'.repeat(3000)}`, `/c/${'/'.repeat(9000)}`]) {
    assert.equal(readLink(keys, path).kind, 'forged', path.slice(0, 40));
    assert.equal(readPixel(keys, path), null, path.slice(0, 40));
  }
  const random = (length: number): string =>
    Array.from({ length }, () => String.fromCharCode(33 + Math.floor(Math.random() * 94))).join('');
  for (let i = 0; i < 20_000; i++) {
    assert.equal(readLink(keys, `/c/${random(i % 200)}`).kind, 'forged');
    assert.equal(readPixel(keys, `/o/${random(i % 100)}`), null);
  }
});

test('our own links are known on any host, others are not', () => {
  const link = linkUrl(keys, 'http://old-host.example:8080', identity, 'https://espn.com');
  assert.deepEqual(ownLink(keys, link), { identity, destination: 'https://espn.com' });
  assert.deepEqual(ownLink(keys, ` ${link.slice(0, 120)}`), { identity, destination: null });
  assert.deepEqual(ownPixel(keys, pixelUrl(keys, ORIGIN, identity)), { ...identity, link: 0 });
  for (const other of ['https://espn.com', 'https://espn.com/c/x', 'mailto:a@example.com', '/c/', '', link.slice(7)])
    assert.equal(ownLink(keys, other), null, other);
  assert.equal(ownPixel(keys, link), null);
});

test('a message key that is none is refused', () => {
  assert.throws(() => linkUrl(keys, ORIGIN, { ...identity, message: 'abc' }, 'https://espn.com'), RangeError);
  assert.throws(
    () => pixelUrl(keys, ORIGIN, { ...identity, message: 'zz93d1a0-8c5b-7d3e-9f00-0123456789ab' }),
    RangeError,
  );
});
