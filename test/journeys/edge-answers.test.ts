// What a reader's program gets for a link or a pixel, and what is kept of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parseRanges } from '../../src/addresses.ts';
import type { StopList } from '../../src/edge/stops.ts';
import { identity, noStops, type RunningEdge, startEdge } from '../support/edge.ts';
import { exchange, type RawAnswer } from '../support/raw-client.ts';

const GIF = '47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b';
const DESTINATION = 'https://example.com/path?a=1&b=<2>';
const LOCATION = 'https://example.com/path?a=1&b=%3C2%3E';

let stops: StopList = noStops;
let row: () => Promise<string | null> = async () => null;
let edge: RunningEdge;

before(async () => {
  edge = await startEdge({
    stops: {
      grant: (...args) => stops.grant(...args),
      message: (...args) => stops.message(...args),
      host: (...args) => stops.host(...args),
    },
    lookUpLink: () => row(),
    trustedProxies: parseRanges('127.0.0.0/8'),
    trackingOnlyHost: 'T.example.com:8443',
    publicHost: 'api.example.com:8443',
  });
});

after(() => edge.stop());

function ask(path: string, { method = 'GET', headers = '' } = {}): Promise<RawAnswer> {
  return exchange(edge.port, `${method} ${path} HTTP/1.1\r\nHost: t.example.com\r\n${headers}\r\n`, {
    head: method === 'HEAD',
  });
}

function isPixel(answer: RawAnswer): void {
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'image/gif');
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(Buffer.from(answer.body, 'latin1').toString('hex'), GIF);
}

function isPage(answer: RawAnswer, status: number): void {
  assert.equal(answer.status, status);
  assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(answer.headers.get('referrer-policy'), 'no-referrer');
  assert.equal(answer.headers.get('x-robots-tag'), 'noindex');
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  assert.match(answer.headers.get('content-security-policy') ?? '', /^default-src 'none'; style-src 'sha256-/);
  assert.doesNotMatch(answer.body, /<script|<2>/);
}

test('a pixel answers a GIF and is spooled', async () => {
  const headers = 'User-Agent: Mail/1\r\nAccept-Language: en\r\nX-Forwarded-For: 198.51.100.4\r\n';
  const asked = Date.now();
  isPixel(await ask(edge.pixel(), { headers }));
  const [hit, ...more] = await edge.hits();
  assert.ok(hit);
  assert.equal(more.length, 0);
  const { id, at, ...rest } = hit;
  assert.ok(at.getTime() >= asked && at.getTime() <= Date.now());
  assert.match(id, /-7/);
  assert.deepEqual(rest, {
    kind: 'open',
    ...identity,
    link: 0,
    method: 'GET',
    prefetch: false,
    acceptLanguage: true,
    secFetchMode: false,
    ip: '198.51.100.4',
    userAgent: 'Mail/1',
  });
});

test('a link redirects without asking anybody and is spooled', async () => {
  row = () => assert.fail('no look-up');
  const answer = await ask(`${edge.link(DESTINATION)}?utm_source=mail#top`);
  isPage(answer, 302);
  assert.equal(answer.headers.get('location'), LOCATION);
  assert.match(answer.body, /<a href="https:\/\/example\.com\/path\?a=1&#38;b=%3C2%3E"/);
  const [hit] = await edge.hits();
  assert.deepEqual([hit?.kind, hit?.link, hit?.message, hit?.app, hit?.grant], ['click', 3, identity.message, 7, 9]);
});

test('an address that is a valid URI goes out as it was written', async () => {
  assert.equal((await ask(edge.link('https://espn.com'))).headers.get('location'), 'https://espn.com');
  await edge.hits();
});

test('HEAD, OPTIONS and prefetches are answered like GET and spooled as what they are', async () => {
  for (const method of ['HEAD', 'OPTIONS']) {
    const link = await ask(edge.link(DESTINATION), { method });
    assert.equal(link.status, 302);
    assert.equal(link.headers.get('location'), LOCATION);
    const pixel = await ask(edge.pixel(), { method });
    assert.equal(pixel.headers.get('content-length'), '43');
    if (method === 'HEAD') assert.equal(link.body + pixel.body, '');
    else isPixel(pixel);
  }
  isPixel(await ask(edge.pixel(), { headers: 'Sec-Purpose: prefetch;prerender\r\n' }));
  assert.deepEqual(
    (await edge.hits()).map(({ kind, method, prefetch }) => `${kind} ${method} ${prefetch}`),
    ['click HEAD false', 'open HEAD false', 'click OPTIONS false', 'open OPTIONS false', 'open GET true'],
  );
});

test('other methods: 405 for a link, still the GIF for a pixel', async () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'PROPFIND']) {
    const answer = await ask(edge.link(DESTINATION), { method, headers: 'Content-Length: 0\r\n' });
    isPage(answer, 405);
    assert.equal(answer.headers.get('allow'), 'GET, HEAD, OPTIONS');
    assert.equal(answer.headers.get('location'), undefined);
    isPixel(await ask(edge.pixel(), { method, headers: 'Content-Length: 0\r\n' }));
  }
  assert.ok((await edge.hits()).every(({ kind, method }) => kind === 'open' && method === 'other'));
});

test('a forged link is a 404, a forged pixel the same GIF, and neither is spooled', async () => {
  const before = { ...edge.counters };
  const [link, pixel] = [edge.link(DESTINATION), edge.pixel()];
  const bent = (path: string) => path.slice(0, 20) + (path[20] === 'A' ? 'B' : 'A') + path.slice(21);
  isPage(await ask(bent(link)), 404);
  isPage(await ask('/c/'), 404);
  isPixel(await ask(bent(pixel)));
  isPixel(await ask('/o/'));
  isPixel(await ask('/o/x.gif', { method: 'POST', headers: 'Content-Length: 0\r\n' }));
  assert.deepEqual(await edge.hits(), []);
  assert.equal(edge.counters.forgedClick - before.forgedClick, 2);
  assert.equal(edge.counters.forgedOpen - before.forgedOpen, 3);
});

test('a damaged destination is looked up; a reader never lands where no MAC or row says', async () => {
  const token = edge.link(DESTINATION).slice(0, 83);
  const evil = `${token}/${Buffer.from('https://evil.example').toString('base64url')}`;
  row = async () => 'https://example.com/from-the-row';
  for (const path of [token, `${token}/`, `${token}?u=https://evil.example`, evil]) {
    const answer = await ask(path);
    isPage(answer, 302);
    assert.equal(answer.headers.get('location'), 'https://example.com/from-the-row');
  }
  assert.equal((await edge.hits()).length, 4);
});

test('without a row 404, without a database 503, and no hit', async () => {
  const pathOf = (link: number) => edge.link(DESTINATION, { link }).slice(0, 83);
  row = async () => null;
  isPage(await ask(pathOf(40)), 404);
  row = () => Promise.reject(new Error('no database'));
  const away = await ask(pathOf(41));
  isPage(away, 503);
  assert.ok(Number(away.headers.get('retry-after')) > 0);
  row = () => new Promise(() => undefined);
  const started = performance.now();
  isPage(await ask(pathOf(42)), 503);
  assert.ok(performance.now() - started < 900);
  assert.deepEqual(await edge.hits(), []);
});

test('a row that is no address to redirect to is shown, not followed', async () => {
  row = async () => 'javascript:alert(1)//<script>';
  const answer = await ask(edge.link(DESTINATION, { link: 43 }).slice(0, 83));
  isPage(answer, 404);
  assert.equal(answer.headers.get('location'), undefined);
  assert.doesNotMatch(answer.body, /href/);
  assert.match(answer.body, /javascript:alert\(1\)\/\/&#60;script&#62;/);
  // The same for one that is signed: the scheme is checked at the redirect, whatever was signed.
  isPage(await ask(edge.link('javascript:alert(1)')), 404);
  assert.deepEqual(await edge.hits(), []);
});

test('mailto and tel: a page in a tab, a redirect elsewhere', async () => {
  for (const destination of ['mailto:a@example.com?subject=x&body=y', 'tel:+1-555-0100']) {
    const page = await ask(edge.link(destination), { headers: 'Sec-Fetch-Mode: navigate\r\n' });
    isPage(page, 200);
    assert.equal(page.headers.get('refresh'), `0; url=${destination}`);
    assert.ok(page.body.includes(`<a href="${destination.replaceAll('&', '&#38;')}"`));
    const redirect = await ask(edge.link(destination));
    assert.equal(redirect.status, 302);
    assert.equal(redirect.headers.get('location'), destination);
  }
  assert.deepEqual(
    (await edge.hits()).map(({ secFetchMode }) => secFetchMode),
    [true, false, true, false],
  );
});

test('a deleted grant: 410 with the address, the GIF, and nothing kept', async () => {
  stops = { ...noStops, grant: (app, grant) => (app === 7 && grant === 9 ? 'stop' : null) };
  try {
    const answer = await ask(edge.link('https://example.com/<ä>'));
    isPage(answer, 410);
    const body = Buffer.from(answer.body, 'latin1').toString();
    assert.match(body, /<a href="https:\/\/example\.com\/%3C%C3%A4%3E"[^>]*>https:\/\/example\.com\/&#60;ä&#62;<\/a>/);
    assert.equal(answer.headers.get('location'), undefined);
    row = async () => null;
    isPage(await ask(edge.link(DESTINATION, { link: 50 }).slice(0, 83)), 410);
    isPixel(await ask(edge.pixel()));
    assert.equal((await ask(edge.link(DESTINATION, { grant: 10 }))).status, 302);
    assert.deepEqual(
      (await edge.hits()).map(({ grant }) => grant),
      [10],
    );
  } finally {
    stops = noStops;
  }
});

test('a deleted grant set to forward: a redirect, and nothing kept', async () => {
  stops = { ...noStops, grant: () => 'forward' };
  try {
    assert.equal((await ask(edge.link(DESTINATION))).headers.get('location'), LOCATION);
    isPixel(await ask(edge.pixel()));
    assert.deepEqual(await edge.hits(), []);
  } finally {
    stops = noStops;
  }
});

test('a blocked message or host: 410 without the address, and nothing kept', async () => {
  for (const blocked of [
    { ...noStops, message: (_: number, key: string) => key === identity.message },
    { ...noStops, host: (host: string) => host === 'example.com' },
  ]) {
    stops = blocked;
    try {
      const answer = await ask(edge.link('https://EXAMPLE.com/x'));
      isPage(answer, 410);
      assert.doesNotMatch(answer.body, /example\.com/i);
      assert.equal(answer.headers.get('location'), undefined);
    } finally {
      stops = noStops;
    }
  }
  assert.deepEqual(await edge.hits(), []);
});

test('the tracking host serves links and pixels and nothing else', async () => {
  isPage(await ask('/v3/grants'), 404);
  isPage(await ask('/'), 404);
  isPage(await ask('/', { method: 'POST', headers: 'Content-Length: 0\r\n' }), 404);
  const asked = (target: string, host: string) =>
    exchange(edge.port, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  for (const host of [
    't.example.com',
    't.example.com:8443',
    'T.Example.com.',
    't.example.com.:8443',
    't.example.com:1',
  ])
    isPage(await asked('/v3/grants', host), 404);
  isPage(await asked('http://T.example.com./v3/grants', 'api.example.com'), 404);
  assert.equal((await asked('http://api.example.com/v3/grants', 't.example.com')).status, 200);
  const other = await exchange(edge.port, 'GET /v3/grants HTTP/1.1\r\nHost: api.example.com\r\n\r\n');
  assert.equal(other.status, 200);
  assert.equal(
    (await exchange(edge.port, `GET ${edge.pixel()} HTTP/1.1\r\nHost: api.example.com\r\n\r\n`)).status,
    200,
  );
  await edge.hits();
});

test('what a gateway did to the path before the token does not matter', async () => {
  const [link, pixel] = [edge.link(DESTINATION), edge.pixel()];
  for (const path of [
    `/${link}`,
    `http://t.example.com${link}`,
    link.replace('/c/', '/c//'),
    link.replace('/c/', '/c%2F'),
  ])
    assert.equal((await ask(path)).headers.get('location'), LOCATION, path.slice(0, 30));
  for (const path of [`/${pixel}`, `http://t.example.com${pixel}`, pixel.replace('.gif', ''), `${pixel}?x=1`])
    isPixel(await ask(path));
  assert.equal((await edge.hits()).length, 8);
});
