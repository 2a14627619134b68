import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { after, test } from 'node:test';
import { certificate } from '../test/support/certificate.ts';
import {
  closeEarly,
  dribble,
  flood,
  hang,
  hangUp,
  type Receiver,
  startReceiver,
  status,
} from '../test/support/receiver.ts';
import { parseRanges } from './addresses.ts';
import { makeNames, NameError, type Names } from './names.ts';
import { makeSafeFetch, type PublicUrl, parsePublicUrl, type SafeFetch, type SafeFetchDeps } from './safe-fetch.ts';

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers) await close();
});

const POST = { method: 'POST', headers: {}, body: '{}', deadlineMs: 5_000, maxAnswerBytes: 1_000 } as const;
const local = { allowLoopback: true, allowPrivateTargets: parseRanges('') };
const closed = { allowLoopback: false, allowPrivateTargets: parseRanges('') };

function fetcher(deps: SafeFetchDeps): SafeFetch {
  const made = makeSafeFetch(deps);
  closers.push(() => made.close());
  return made;
}

async function receiver(...options: Parameters<typeof startReceiver>): Promise<Receiver> {
  const started = await startReceiver(...options);
  closers.push(() => started.close());
  return started;
}

function url(text: string): PublicUrl {
  const parsed = parsePublicUrl(text);
  assert.ok(typeof parsed === 'string', `${text} should parse`);
  return parsed;
}

function named(table: Record<string, readonly string[]>): Names {
  return {
    async lookUp(name) {
      const addresses = table[name];
      if (addresses === undefined) throw new NameError(`${name} could not be resolved (ENOTFOUND)`);
      return addresses;
    },
  };
}

test('what is no URL of ours is refused with the reason', () => {
  const refused = (text: string): string => {
    const parsed = parsePublicUrl(text);
    assert.ok(typeof parsed === 'object', `${text} should be refused`);
    return parsed.problem;
  };
  assert.match(refused('ftp://example.com/'), /https/);
  assert.match(refused('example.com/hook'), /https/);
  assert.match(refused('javascript:alert(1)'), /https/);
  assert.match(refused('https:example.com'), /https/);
  assert.match(refused('https://user:pass@example.com/'), /user name or password/);
  assert.match(refused('https://user@example.com/'), /user name or password/);
  assert.match(refused('https://example.com\\@evil.test/'), /backslashes/);
  assert.match(refused('https://exa\tmple.com/'), /control/);
  assert.match(refused('https://example.com/\u0000'), /control/);
  assert.match(refused(' https://example.com/'), /spaces/);
  assert.match(refused('https://[fe80::1%25eth0]/'), /valid/);
  assert.match(refused('https://1.2.3.4.5/'), /valid/);
  assert.match(refused('https:///'), /valid/);
  assert.match(refused(`https://example.com/${'x'.repeat(2048)}`), /2048/);
  assert.equal(parsePublicUrl('https://EXAMPLE.com/a?b=c#d'), 'https://example.com/a?b=c');
});

const INSIDE = [
  'http://127.0.0.1/',
  'http://127.1/',
  'http://0177.0.0.1/',
  'http://0x7f.1/',
  'http://2130706433/',
  'http://１２７.0.0.1/',
  'http://0/',
  'http://[::1]/',
  'http://[::ffff:127.0.0.1]/',
  'http://[::ffff:a00:1]/',
  'http://[64:ff9b::7f00:1]/',
  'http://[2002:7f00:1::]/',
  'http://[fe80::1]/',
  'http://10.0.0.1/',
  'http://169.254.169.254/latest/meta-data/',
  'https://192.168.0.1/',
  'https://[fd00:ec2::254]/',
  'http://localhost/',
  'http://localhost./',
  'http://hook.localhost/',
];

for (const target of INSIDE) {
  test(`${target} is not dialled`, async () => {
    const outcome = await fetcher(closed).request(url(target), POST);
    assert.equal(outcome.kind, 'blocked');
  });
}

test('a name is refused when any of its addresses is inside, and nothing is dialled', async () => {
  const inside = await receiver();
  const names = named({ 'rebind.test': ['8.8.8.8', '127.0.0.1'], 'metadata.test': ['169.254.169.254'] });
  const safe = fetcher({ ...closed, names });
  const outcome = await safe.request(url(`https://rebind.test:${inside.port}/`), POST);
  assert.deepEqual(outcome, { kind: 'blocked', detail: 'the host leads to a loopback address' });
  assert.equal((await safe.request(url('https://metadata.test/'), POST)).kind, 'blocked');
  assert.equal(inside.connections(), 0);
});

test('a public address needs https', async () => {
  const safe = fetcher({ ...local, names: named({ 'shop.test': ['8.8.8.8'] }) });
  const outcome = await safe.request(url('http://shop.test/'), POST);
  assert.deepEqual(outcome, { kind: 'blocked', detail: 'a public host must be reached by https' });
  assert.equal((await safe.request(url('http://8.8.8.8/'), POST)).kind, 'blocked');
});

test('the real resolver is asked through the interface, by name and port', async () => {
  const target = await receiver();
  const names = makeNames({ hosts: async () => '127.0.0.1 receiver.test' });
  const outcome = await fetcher({ ...local, names }).request(url(`http://receiver.test:${target.port}/hook?a=b`), POST);
  assert.equal(outcome.kind, 'ok');
  assert.equal(target.deliveries[0]?.headers.host, `receiver.test:${target.port}`);
  assert.equal(target.deliveries[0]?.query.get('a'), 'b');
});

test('an address may stand in the URL, in whatever notation', async () => {
  const target = await receiver();
  const safe = fetcher(local);
  for (const host of ['127.0.0.1', '127.1', '0x7f000001', '[::ffff:127.0.0.1]']) {
    assert.equal((await safe.request(url(`http://${host}:${target.port}/hook`), POST)).kind, 'ok', host);
  }
});

test('statuses are told apart, redirects are not followed', async () => {
  const inside = await receiver();
  const target = await receiver();
  const safe = fetcher(local);
  target.behave(status(201, {}, 'made'));
  assert.deepEqual(await safe.request(url(target.url), POST), {
    kind: 'ok',
    status: 201,
    body: 'made',
    retryAfter: null,
  });
  target.behave(status(503, { 'retry-after': '120' }, 'later'));
  assert.deepEqual(await safe.request(url(target.url), POST), {
    kind: 'status',
    status: 503,
    body: 'later',
    retryAfter: '120',
  });
  target.behave(status(307, { location: inside.url }));
  const redirected = await safe.request(url(target.url), POST);
  assert.equal(redirected.kind, 'redirect');
  assert.equal(inside.received.length, 0);
});

test('connections are reused', async () => {
  const target = await receiver();
  const safe = fetcher(local);
  for (let turn = 0; turn < 20; turn++) await safe.request(url(target.url), POST);
  assert.equal(target.deliveries.length, 20);
  assert.ok(target.connections() <= 2, 'a connection is free again a moment after its answer was read');
});

test('one deadline ends silence, a dribbling answer, a stalled handshake and a stalled connection alike', async () => {
  const target = await receiver();
  const silent = await silentServer();
  const safe = fetcher(local);
  const soon = { ...POST, deadlineMs: 200 };
  for (const behaviour of [hang, dribble(20)]) {
    target.behave(behaviour);
    assert.equal((await safe.request(url(target.url), soon)).kind, 'timeout');
  }
  const { port } = addressOf(silent);
  assert.equal((await safe.request(url(`https://127.0.0.1:${port}/`), soon)).kind, 'timeout');
  const never = fetcher({ ...local, names: { lookUp: () => new Promise(() => {}) } });
  assert.equal((await never.request(url('https://slow.test/'), soon)).kind, 'timeout');
});

test('hostile answers end as what they are', async () => {
  const target = await receiver();
  const safe = fetcher(local);
  target.behave(closeEarly);
  assert.equal((await safe.request(url(target.url), POST)).kind, 'closed');
  target.behave(hangUp);
  assert.equal((await safe.request(url(target.url), POST)).kind, 'closed');
  target.behave(flood);
  const flooded = await safe.request(url(target.url), POST);
  assert.ok(flooded.kind === 'too_large' && flooded.status === 200 && flooded.body.length === 1_000);
  target.behave(status(200, { 'x-large': 'x'.repeat(40_000) }));
  assert.equal((await safe.request(url(target.url), POST)).kind, 'closed');
});

test('no listener, no name, and speech that is not HTTP', async () => {
  const gone = await startReceiver();
  await gone.close();
  const safe = fetcher({ ...local, names: named({}) });
  assert.equal((await safe.request(url(gone.url), POST)).kind, 'refused');
  assert.deepEqual(await safe.request(url('https://nowhere.test/'), POST), {
    kind: 'dns',
    detail: 'nowhere.test could not be resolved (ENOTFOUND)',
  });
  const { port } = addressOf(await silentServer('SSH-2.0-x\r\n'));
  assert.equal((await safe.request(url(`http://127.0.0.1:${port}/`), POST)).kind, 'closed');
});

test('a certificate must be good for the name', async () => {
  const target = await receiver({ tls: certificate });
  const names = named({ 'receiver.test': ['127.0.0.1'], 'other.test': ['127.0.0.1'] });
  const trusting = fetcher({ ...local, names, ca: certificate.cert });
  const at = (host: string): PublicUrl => url(`https://${host}:${target.port}/hook`);
  assert.equal((await trusting.request(at('receiver.test'), POST)).kind, 'ok');
  assert.equal((await trusting.request(at('other.test'), POST)).kind, 'tls');
  assert.equal((await fetcher({ ...local, names }).request(at('receiver.test'), POST)).kind, 'tls');
});

test('of several addresses one that answers is enough', async () => {
  const target = await receiver();
  const safe = fetcher({ ...local, names: named({ 'both.test': ['::1', '127.0.0.1'] }) });
  assert.equal((await safe.request(url(`http://both.test:${target.port}/hook`), POST)).kind, 'ok');
});

/** Accepts connections and says `greeting` or nothing. */
async function silentServer(greeting?: string): Promise<Server> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    if (greeting !== undefined) socket.write(greeting);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return server;
}

function addressOf(server: Server): { readonly port: number } {
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address;
}
