// What a customer's URL may not reach, asked of the whole of it: URL, names, dialling, kept connections, redirects.
// 127.0.0.1 stands for a network that the operator opened, 127.0.0.2 for one that he did not.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Receiver, type ReceiverOptions, startReceiver, status } from '../test/support/receiver.ts';
import { parseRanges } from './addresses.ts';
import { makeNames, NameError, type Names, type Resolver } from './names.ts';
import {
  type FetchOutcome,
  makeSafeFetch,
  type PublicUrl,
  parsePublicUrl,
  type SafeFetch,
  type SafeFetchDeps,
} from './safe-fetch.ts';

const POST = { method: 'POST', headers: {}, body: '{}', deadlineMs: 5_000, maxAnswerBytes: 1_000 } as const;
const closed = { allowLoopback: false, allowPrivateTargets: parseRanges('') };
const opened = { allowLoopback: false, allowPrivateTargets: parseRanges('127.0.0.1, 10.0.0.0/8') };
const LOOPBACK = { kind: 'blocked', detail: 'the host leads to a loopback address' };

function fetcher(t: TestContext, deps: SafeFetchDeps): SafeFetch {
  const made = makeSafeFetch(deps);
  t.after(() => made.close());
  return made;
}

async function receiver(t: TestContext, options?: ReceiverOptions): Promise<Receiver> {
  const started = await startReceiver(options);
  t.after(() => started.close());
  return started;
}

function url(text: string): PublicUrl {
  const parsed = parsePublicUrl(text);
  assert.ok(typeof parsed === 'string', `${text} should parse`);
  return parsed;
}

/** The answers one after the other, the last one for ever; `asked` counts. */
function turning(...answers: readonly (readonly string[])[]): Names & { readonly asked: () => number } {
  let asked = 0;
  return {
    async lookUp() {
      return answers[Math.min(asked++, answers.length - 1)] ?? [];
    },
    asked: () => asked,
  };
}

/** Where nothing is ever asked of a name server. */
const noServer: Names = {
  lookUp: async (name) => {
    throw new NameError(`${name} could not be resolved`);
  },
};

const REFUSED = [
  'https://user@example.com/',
  'https://:pass@example.com/',
  'https://user%40mail:pass@example.com/',
  'https://example.com:pass@127.0.0.1/',
  'https://[fe80::1%25eth0]/',
  'https://[fe80::1%eth0]/',
  'https://[::1/',
  'https://[::ffff:300.0.0.1]/',
  'https://0x100000000/',
  'https://4294967296/',
  'https://256.1.1.1/',
  'https://1.2.3.08/',
  'https://127.0.0.1%00.example.com/',
  'https://exa%2fmple.com/',
  'https://exam%40ple.com/',
  'https://example.com:0/',
  'https://example.com:00000/',
  'https://example.com:65536/',
  'https://example.com:8o/',
  'https:/example.com/',
  'https:\\\\example.com/',
  '//example.com/',
  'http+unix://%2Fvar%2Frun%2Fdocker.sock/',
  'file:///etc/passwd',
  'gopher://127.0.0.1:25/',
  'data:text/plain,x',
  'ws://example.com/',
  'https://exa\r\nmple.com/',
  'https://example.com/\u2028',
];

for (const text of REFUSED) {
  test(`${JSON.stringify(text)} is no URL of a receiver`, () => {
    assert.equal(typeof parsePublicUrl(text), 'object');
  });
}

const INSIDE = [
  'http://127.1/',
  'http://127.0.1/',
  'http://0177.0.0.01/',
  'http://0x7F.0x0.0x0.0x1/',
  'http://0x7f000001/',
  'http://017700000001/',
  'http://2130706433/',
  'http://127.0.0.1./',
  'http://２１３０７０６４３３/',
  'http://127。0。0。1/',
  'http://①②⑦.0.0.1/',
  'http://%31%32%37.0.0.1/',
  'http://127%2e0%2e0%2e1/',
  'http://[::ffff:7f00:1]/',
  'http://[0:0:0:0:0:ffff:127.0.0.1]/',
  'http://[::127.0.0.1]/',
  'http://[::ffff:0:127.0.0.1]/',
  'http://[0000:0000:0000:0000:0000:0000:0000:0001]/',
  'http://[::]/',
  'http://0.0.0.0/',
  'http://[64:ff9b::169.254.169.254]/',
  'http://[64:ff9b:1::a00:1]/',
  'http://[2002:a9fe:a9fe::]/',
  'http://[2001:0:808:808::f5ff:fffe]/',
  'https://[2001:470:1f0b::5efe:7f00:1]/',
  'http://[FE80::1]/',
  'http://[ff02::1]/',
  'http://2852039166/latest/meta-data/',
  'http://0xA9FEA9FE/latest/meta-data/',
  'https://[FD00:EC2::254]/',
  'https://100.64.0.1/',
  'https://255.255.255.255/',
  'https://224.0.0.251/',
  'https://192.0.2.1/',
  'https://198.18.0.1/',
  'http://LOCALHOST/',
  'http://LocalHost./',
  'http://ｌｏｃａｌｈｏｓｔ/',
  'http://%6cocalhost/',
  'http://localhost%2e/',
  'http://A.B.LOCALHOST./',
];

for (const target of INSIDE) {
  test(`${target} is not dialled`, async (t) => {
    const names = makeNames({ hosts: async () => '', resolver: unasked });
    assert.equal((await fetcher(t, { ...closed, names }).request(url(target), POST)).kind, 'blocked');
  });
}

function unasked(): Resolver {
  const refuse = (name: string): never => assert.fail(`a name server was asked for ${name}`);
  return { resolve4: refuse, resolve6: refuse };
}

test('a name of dots alone leads nowhere', async (t) => {
  const safe = fetcher(t, { ...closed, names: makeNames({ hosts: async () => '', resolver: refusing }) });
  for (const text of ['https://./', 'https://../', 'https://localhost../']) {
    assert.equal((await safe.request(url(text), POST)).kind, 'dns', text);
  }
});

function refusing(): Resolver {
  const refuse = (): Promise<never> => Promise.reject(new Error('refused'));
  return { resolve4: refuse, resolve6: refuse };
}

test('one bad address among good ones blocks the name, wherever it stands', async (t) => {
  const good = await receiver(t);
  const bad = await receiver(t, { host: '127.0.0.2' });
  const answers = [
    ['127.0.0.1', '127.0.0.2'],
    ['127.0.0.2', '127.0.0.1'],
    ['127.0.0.1', '10.0.0.1', '::ffff:127.0.0.2'],
    ['127.0.0.1', '127.0.0.1', '64:ff9b::7f00:2'],
    ['127.0.0.1', '169.254.169.254'],
    ['127.0.0.1', 'fe80::1%lo'],
    ['127.0.0.1', ''],
  ];
  for (const addresses of answers) {
    for (const { port } of [good, bad]) {
      const safe = fetcher(t, { ...opened, names: turning(addresses) });
      assert.equal((await safe.request(url(`http://mixed.test:${port}/`), POST)).kind, 'blocked', addresses.join());
    }
  }
  assert.equal(good.connections() + bad.connections(), 0);
});

test('a network’s answer of the hosts file is judged like any other', async (t) => {
  const names = makeNames({ hosts: async () => '127.0.0.2 db.internal\nfe80::1%lo zone.internal', resolver: unasked });
  const safe = fetcher(t, { ...opened, names });
  assert.deepEqual(await safe.request(url('https://db.internal/'), POST), LOOPBACK);
  assert.equal((await safe.request(url('https://zone.internal/'), POST)).kind, 'blocked');
});

test('the address that was judged is the one dialled: a second answer is never asked for', async (t) => {
  const good = await receiver(t);
  const bad = await receiver(t, { host: '127.0.0.2', port: good.port });
  const names = turning(['127.0.0.1'], ['127.0.0.2']);
  const safe = fetcher(t, { ...opened, names });
  const target = url(`http://rebind.test:${good.port}/hook`);
  good.behave(status(200, { connection: 'close' }));
  assert.equal((await safe.request(target, POST)).kind, 'ok');
  assert.equal(names.asked(), 1);
  assert.deepEqual(await safe.request(target, POST), LOOPBACK);
  assert.equal(names.asked(), 2);
  assert.equal(bad.connections(), 0);
});

test('a kept connection serves its own host and scheme only', async (t) => {
  const good = await receiver(t);
  const names = turning(['127.0.0.1'], ['127.0.0.2']);
  const safe = fetcher(t, { ...opened, names });
  assert.equal((await safe.request(url(`http://a.test:${good.port}/`), POST)).kind, 'ok');
  assert.deepEqual(await safe.request(url(`http://b.test:${good.port}/`), POST), LOOPBACK);
  assert.deepEqual(await safe.request(url(`https://a.test:${good.port}/`), POST), LOOPBACK);
  assert.equal(good.deliveries.length, 1);
});

test('a kept connection does not serve whoever may not go there', async (t) => {
  const good = await receiver(t);
  const names = turning(['127.0.0.1']);
  const target = url(`http://a.test:${good.port}/`);
  assert.equal((await fetcher(t, { ...opened, names }).request(target, POST)).kind, 'ok');
  assert.deepEqual(await fetcher(t, { ...closed, names }).request(target, POST), LOOPBACK);
});

test('http goes to what the operator opened, and nowhere else', async (t) => {
  const good = await receiver(t);
  const asked = async (addresses: readonly string[], scheme: 'http' | 'https' = 'http'): Promise<FetchOutcome> =>
    await fetcher(t, { ...opened, names: turning(addresses) }).request(url(`${scheme}://x.test:${good.port}/`), POST);
  const plain = { kind: 'blocked', detail: 'a public host must be reached by https' };
  assert.equal((await asked(['127.0.0.1'])).kind, 'ok');
  for (const addresses of [['8.8.8.8'], ['2606:4700::1111'], ['::ffff:8.8.8.8'], ['64:ff9b::808:808']]) {
    assert.deepEqual(await asked(addresses), plain);
  }
  assert.deepEqual(await asked(['127.0.0.1', '8.8.8.8']), plain, 'an opened address does not excuse a public one');
  assert.equal((await asked(['192.168.0.1'], 'https')).kind, 'blocked');
  const literal = fetcher(t, { ...opened, names: noServer });
  for (const host of ['8.8.8.8', '134744072', '[2606:4700::1111]', '[64:ff9b::808:808]']) {
    assert.deepEqual(await literal.request(url(`http://${host}/`), POST), plain);
  }
  assert.equal(good.deliveries.length, 1);
});

for (const code of [300, 301, 302, 303, 307, 308]) {
  test(`a ${code} is not followed, wherever it leads`, async (t) => {
    const good = await receiver(t);
    const bad = await receiver(t, { host: '127.0.0.2' });
    const safe = fetcher(t, opened);
    const targets = [bad.url, 'http://169.254.169.254/latest/meta-data/', `${good.origin}/elsewhere`, '/elsewhere'];
    for (const location of targets) {
      good.behave(status(code, { location, refresh: `0; url=${location}` }), 'everything');
      for (const method of ['POST', 'GET'] as const) {
        const { body: _, ...bare } = POST;
        const outcome = await safe.request(url(good.url), method === 'GET' ? { ...bare, method } : POST);
        assert.ok(outcome.kind === 'redirect' && outcome.status === code);
      }
    }
    assert.equal(bad.connections(), 0);
    assert.equal(good.received.length, 2 * targets.length);
    assert.ok(good.received.every(({ path }) => path === '/hook'));
  });
}
