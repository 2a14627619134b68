import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parseRanges } from '../addresses.ts';
import { makeWebhook } from '../notify/destinations/webhook.ts';
import { makeSecret, nylasSignature, signatureHeaders } from '../notify/sign.ts';
import { makeSafeFetch } from '../safe-fetch.ts';
import { runCommand } from './run.ts';

const SECRET = makeSecret();
const ID = 'ntf_06f9mh2c2xw3h4k6t0s5p1v8za';
const BODY = Buffer.from(`{"type":"message.opened","id":"${ID}","data":{"subject":"Grüße 😀"}}`);
const CHECK = Buffer.from('{"specversion":"1.0","type":"message.opened"}');
const CHECK_VALUE = 'b057977546e32d802b198b88e8ba6f76cbde7e5c3d552b3393585cb18690f31a';
const NYLAS = 'x-nylas-signature';
const STANDARD = 'webhook-signature';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'telltale-verify-'));
});
after(async () => await rm(folder, { recursive: true, force: true }));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function telltale(args: readonly string[], env: Record<string, string> = {}, input?: Buffer): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await runCommand({
    args,
    env,
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    ...(input === undefined ? {} : { input: pieces(input) }),
  });
  return { code, out, err };
}

/** Three bytes at a time, as a pipe may bring them. */
async function* pieces(input: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < input.length; at += 3) yield input.subarray(at, at + 3);
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}

function signed(body: Buffer, secrets: readonly string[] = [SECRET], timestamp = now()): Record<string, string> {
  return signatureHeaders(secrets, { id: ID, body, timestamp });
}

interface Capture {
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
  readonly end?: string;
  readonly first?: string;
}

function request({ headers = {}, body = BODY, end = '\r\n', first = 'POST /hook HTTP/1.1' }: Capture): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return Buffer.concat([Buffer.from([first, ...lines, '', ''].filter((_, at) => at > 0 || first).join(end)), body]);
}

interface Verdict {
  readonly header: string;
  readonly holds: boolean;
  readonly reason: string | null;
  readonly note: string | null;
}

interface Judged {
  readonly code: number;
  readonly bytes: number;
  readonly notes: readonly string[];
  readonly signatures: readonly Verdict[];
  /** By header: true or the reason. */
  readonly told: Readonly<Record<string, string | true | null>>;
}

async function judge(input: Buffer, secret = SECRET, ...options: string[]): Promise<Judged> {
  const ran = await telltale(['verify', '-', '--json', ...options], { WEBHOOK_SECRET: secret }, input);
  assert.equal(ran.err, '');
  const { holds, body_bytes: bytes, signatures, notes } = JSON.parse(ran.out);
  const list: readonly Verdict[] = signatures;
  assert.equal(ran.code, list.every((one) => one.holds) ? 0 : 1);
  assert.equal(holds, ran.code === 0);
  const told = Object.fromEntries(list.map((one) => [one.header, one.holds || one.reason]));
  return { code: ran.code, bytes, notes, signatures: list, told };
}

const BOTH = { [NYLAS]: true, [STANDARD]: true };

test('what we send holds, however it was written down', async () => {
  const headers = { Host: 'a.test', ...signed(BODY) };
  const upper = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), ` ${value}\t`]));
  const captures: readonly Capture[] = [
    { headers },
    { headers, end: '\n' },
    { headers, first: '' },
    { headers: upper, first: 'POST /hook' },
    { headers, first: ':method: POST' },
    { headers: { ...headers, 'X-Folded': 'a\r\n b' } },
    { headers: { ...headers, 'Content-Length': String(BODY.length) } },
  ];
  for (const capture of captures) {
    const { code, told, notes, bytes } = await judge(request(capture));
    assert.deepEqual({ code, told, notes, bytes }, { code: 0, told: BOTH, notes: [], bytes: BODY.length });
  }
});

for (const compressed of [false, true]) {
  test(`a delivery holds as it comes through the socket, ${compressed ? 'compressed' : 'plain'}`, async (t) => {
    const came: Buffer[] = [];
    const server = createServer((socket) => {
      socket.on('data', (chunk) => {
        came.push(chunk);
        const all = Buffer.concat(came);
        const length = /content-length: (\d+)/i.exec(all.toString('latin1'))?.[1];
        if (all.length === all.indexOf('\r\n\r\n') + 4 + Number(length))
          socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const safeFetch = makeSafeFetch({ allowLoopback: true, allowPrivateTargets: parseRanges('') });
    t.after(async () => {
      await safeFetch.close();
      server.close();
    });
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const about = { trigger: 'message.opened', applicationId: 'a', grantId: 'g', messageId: null };
    const secrets = [SECRET, makeSecret()];
    const parcel = {
      address: `http://127.0.0.1:${port}/`,
      secrets,
      id: ID,
      body: BODY,
      compressed,
      sentAt: Date.now(),
    };
    assert.equal((await makeWebhook({ safeFetch }).attempt({ ...parcel, about })).kind, 'ok');
    const { told, notes } = await judge(Buffer.concat(came));
    assert.deepEqual({ told, notes }, { told: BOTH, notes: [] });
  });
}

test('a compressed body stays as it is', async () => {
  const body = gzipSync(BODY);
  const headers = { 'Content-Encoding': 'gzip', ...signed(body) };
  assert.deepEqual((await judge(request({ headers, body }))).told, BOTH);
});

test('chunks are put together', async () => {
  const headers = { 'Transfer-Encoding': 'chunked', ...signed(BODY) };
  const chunk = (part: Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${part.length.toString(16)};a=b\r\n`), part, Buffer.from('\r\n')]);
  const body = Buffer.concat([chunk(BODY.subarray(0, 20)), chunk(BODY.subarray(20)), Buffer.from('0\r\n\r\n')]);
  const whole = await judge(request({ headers, body }));
  assert.deepEqual(whole.told, BOTH);
  assert.equal(whole.bytes, BODY.length);
  const decoded = await judge(request({ headers }));
  assert.deepEqual(decoded.told, BOTH);
  assert.match(decoded.notes.join(), /no whole chunks/);
});

test('the check value of the reference holds, and no other', async () => {
  const file = join(folder, 'body.json');
  await writeFile(file, CHECK);
  const env = { WEBHOOK_SECRET: 'test-secret-01' };
  const held = await telltale(['verify', file, '--signature', CHECK_VALUE], env);
  assert.deepEqual(held, { code: 0, out: 'x-nylas-signature  holds\n', err: '' });
  const wrong = await telltale(['verify', file, '--signature', CHECK_VALUE.replace('b', 'c')], env);
  assert.equal(wrong.code, 1);
  assert.match(wrong.out, /^x-nylas-signature {2}does not hold: another secret made it/);
});

test('a body alone is judged by its options', async () => {
  const headers = new Map(Object.entries(signed(BODY)));
  const of = (name: string): string => headers.get(name) ?? '';
  const nylas = of('X-Nylas-Signature');
  const options = ['--id', of('webhook-id'), '--timestamp', of('webhook-timestamp'), `--${STANDARD}`, of(STANDARD)];
  assert.deepEqual((await judge(BODY, SECRET, ...options)).told, { [STANDARD]: true });
  assert.deepEqual((await judge(BODY, SECRET, '--signature', nylas, ...options)).told, BOTH);
  const spoilt = Buffer.concat([BODY, Buffer.from('\n')]);
  assert.match(String((await judge(spoilt, SECRET, '--signature', nylas)).told[NYLAS]), /^white space was put around/);
});

const ALTERED: readonly (readonly [name: string, body: Buffer, reason: RegExp])[] = [
  ['a newline', Buffer.concat([BODY, Buffer.from('\r\n')]), /^white space was put around the body/],
  ['a byte order mark', Buffer.concat([Buffer.from('\ufeff'), BODY]), /^white space was put around/],
  [
    'pretty JSON',
    Buffer.from(JSON.stringify(JSON.parse(BODY.toString()), null, 2)),
    /^the body was parsed and written/,
  ],
  ['escaped JSON', Buffer.from(BODY.toString().replaceAll('ü', '\\u00fc')), /^the body was parsed and written/],
  ['Latin-1 taken for UTF-8', Buffer.from(BODY.toString('latin1')), /^the body was read as Latin-1/],
  ['compressed after signing', gzipSync(BODY), /^the body was compressed after it had been signed$/],
  ['no body', Buffer.alloc(0), /^there is no body$/],
  ['another body', Buffer.from(BODY.toString().replace('opened', 'Opened')), /^another secret made it, or the body/],
];

for (const [name, body, reason] of ALTERED) {
  test(`altered on the way: ${name}`, async () => {
    const { code, told } = await judge(request({ headers: signed(BODY), body }));
    assert.equal(code, 1);
    assert.match(String(told[NYLAS]), reason);
    assert.match(String(told[STANDARD]), reason);
  });
}

test('a body without its last newline is told too', async () => {
  const sent = Buffer.concat([BODY, Buffer.from('\n')]);
  assert.match(String((await judge(request({ headers: signed(sent) }))).told[NYLAS]), /newline .* was taken off/);
});

test('a decompressed body is recognised, proven or by its headers', async () => {
  const zipped = gzipSync(BODY);
  const headers = { 'content-encoding': 'gzip', ...signed(zipped) };
  const proven = /^the body was decompressed, and the signature is over the compressed bytes$/;
  assert.match(String((await judge(request({ headers }))).told[NYLAS]), proven);
  assert.match(String((await judge(request({ headers: signed(zipped) }))).told[STANDARD]), proven);
  const pretty = Buffer.from(JSON.stringify(JSON.parse(BODY.toString()), null, 2));
  assert.match(String((await judge(request({ headers, body: pretty }))).told[NYLAS]), /decompressed.*; .*written anew/);
  const foreign = gzipSync(BODY, { level: 1 });
  const guessed = await judge(request({ headers: { 'content-encoding': 'gzip', ...signed(foreign) } }));
  assert.match(String(guessed.told[NYLAS]), /probably decompressed|was decompressed/);
  const again = await judge(request({ headers, body: gzipSync(gunzipSync(zipped), { level: 0 }) }));
  assert.match(String(again.told[NYLAS]), /compressed anew/);
  const text = await judge(request({ headers, body: Buffer.from(zipped.toString('utf8')) }));
  assert.match(String(text.told[NYLAS]), /read as text/);
});

test('a stale Content-Length of a compressed body does not hide what happened', async () => {
  const zipped = gzipSync(Buffer.concat([BODY, Buffer.alloc(4_000, 'x')]));
  const body = gunzipSync(zipped);
  const headers = { 'content-length': String(zipped.length), ...signed(zipped) };
  const { told, notes } = await judge(request({ headers, body }));
  assert.match(String(told[NYLAS]), /^the body was decompressed/);
  assert.match(notes.join(), /Content-Length says \d+ bytes, but \d+ are there/);
});

test('what follows the body is not part of it', async () => {
  const headers = { 'content-length': String(BODY.length), ...signed(BODY) };
  const { told, notes, bytes } = await judge(
    request({ headers, body: Buffer.concat([BODY, Buffer.from('\nPOST /')]) }),
  );
  assert.deepEqual(told, BOTH);
  assert.equal(bytes, BODY.length);
  assert.equal(notes.length, 1);
});

test('a secret that is not quite the secret is recognised', async () => {
  const capture = request({ headers: signed(BODY) });
  assert.match(String((await judge(capture, ` ${SECRET}\n`)).told[NYLAS]), /^the secret has white space around it$/);
  assert.match(String((await judge(capture, `"${SECRET}"`)).told[NYLAS]), /^the secret stands in quotes$/);
  const bare = await judge(capture, SECRET.slice('whsec_'.length));
  assert.deepEqual(bare.told, { [NYLAS]: 'the secret lacks its whsec_', [STANDARD]: true });
  const both = await judge(
    request({ headers: signed(BODY), body: Buffer.concat([BODY, Buffer.from('\n')]) }),
    ` ${SECRET}`,
  );
  assert.match(String(both.told[NYLAS]), /white space was put around the body .*; the secret has white space/);
});

test('a test event has one signature, and is recognised under whichever secret', async () => {
  const headers = signed(BODY, ['mock-webhook-secret']);
  const under = async (secret: string, body = BODY): Promise<Judged> => await judge(request({ headers, body }), secret);
  assert.deepEqual((await under('mock-webhook-secret')).told, { [NYLAS]: true });
  const { told } = await under(SECRET);
  assert.deepEqual(Object.keys(told), [NYLAS]);
  assert.match(String(told[NYLAS]), /^it is a test event/);
  const spoilt = await under(SECRET, Buffer.concat([BODY, Buffer.from('\n')]));
  assert.match(String(spoilt.told[NYLAS]), /^white space was put around .*; it is a test event/);
  const other = await under('mock-webhook-secret', Buffer.from('{}'));
  assert.deepEqual(Object.keys(other.told), [NYLAS]);
});

test('during a rotation either secret holds where two signatures are', async () => {
  const old = makeSecret();
  const capture = request({ headers: signed(BODY, [SECRET, old]) });
  assert.deepEqual((await judge(capture)).told, BOTH);
  const before = await judge(capture, old);
  assert.equal(before.told[STANDARD], true);
  assert.match(String(before.told[NYLAS]), /^this is the secret from before a rotation/);
  assert.equal((await judge(capture, makeSecret())).code, 1);
});

test('a changed header is told from a changed body', async () => {
  const headers = signed(BODY);
  const reason = async (header: string, change: Record<string, string>): Promise<string> =>
    String((await judge(request({ headers: { ...headers, ...change } }))).told[header]);
  const nylas = nylasSignature(SECRET, BODY);
  assert.match(await reason(NYLAS, { 'X-Nylas-Signature': '0'.repeat(64) }), /^the header was changed/);
  assert.match(await reason(NYLAS, { 'X-Nylas-Signature': nylas.slice(1) }), /^it is not 64 hex/);
  assert.match(await reason(NYLAS, { 'X-Nylas-Signature': `sha256=${nylas}` }), /^it is not 64 hex/);
  assert.match(await reason(NYLAS, { 'X-Nylas-Signature': nylas.toUpperCase() }), /^it must be in lower case$/);
  assert.match(await reason(STANDARD, { 'webhook-id': 'ntf_2' }), /^webhook-id was changed/);
  assert.match(await reason(STANDARD, { 'webhook-timestamp': String(now() - 60) }), /^one of its three headers/);
  assert.match(await reason(STANDARD, { 'webhook-timestamp': `${Date.now()}` }), /in milliseconds/);
  assert.match(await reason(STANDARD, { 'webhook-timestamp': '2026-11-22' }), /not a number of seconds/);
  assert.match(await reason(STANDARD, { 'webhook-timestamp': '' }), /^webhook-timestamp is missing$/);
  assert.match(await reason(STANDARD, { 'webhook-id': '' }), /^webhook-id is missing$/);
  assert.match(await reason(STANDARD, { 'webhook-signature': '' }), /^webhook-signature is missing$/);
  assert.match(await reason(STANDARD, { 'webhook-signature': 'v1a,x' }), /no signature that begins with v1,/);
});

test('an old capture holds, and says that a receiver would refuse it by now', async () => {
  const note = async (age: number): Promise<string | null | undefined> => {
    const { code, signatures } = await judge(request({ headers: signed(BODY, [SECRET], now() - age) }));
    assert.equal(code, 0);
    return signatures.find(({ header }) => header === STANDARD)?.note;
  };
  assert.equal(await note(200), null);
  assert.match(String(await note(30 * 60)), /^sent 30 minutes ago: a receiver refuses it 5 minutes after/);
  assert.match(String(await note(100 * 3600)), /^sent 4 days ago/);
  assert.match(String(await note(-3600)), /^dated (59|60) minutes ahead of this machine's clock$/);
});

test('the secret comes from a file, an option or the environment, and is never shown', async () => {
  const capture = join(folder, 'request.txt');
  const secret = join(folder, 'secret');
  await writeFile(capture, request({ headers: signed(BODY) }));
  await writeFile(secret, `${SECRET}\n`);
  const runs = [
    await telltale(['verify', 'request.txt', '--secret-file', 'secret'], { INIT_CWD: folder }),
    await telltale(['verify', capture, '--secret-file', secret]),
    await telltale(['verify', capture, '--secret', SECRET]),
    await telltale(['verify', capture], { WEBHOOK_SECRET: SECRET }),
    await telltale(['verify', capture, '--secret', `${SECRET} `]),
    await telltale(['verify', capture, '--secret', `"${SECRET}"`, '--json']),
    await telltale(['verify', capture, '--secret', SECRET.slice(6), '--json']),
    await telltale(['verify', join(folder, 'none'), '--secret', SECRET]),
  ];
  assert.deepEqual(
    runs.map(({ code }) => code),
    [0, 0, 0, 0, 1, 1, 1, 1],
  );
  for (const { out, err } of runs) assert.ok(!(out + err).includes(SECRET.slice(6)));
});

test('what cannot be judged is refused, and a wrong command line is one', async () => {
  const env = { WEBHOOK_SECRET: SECRET };
  const refused = async (input: Buffer | string, message: RegExp): Promise<void> => {
    const { code, out, err } = await telltale(['verify', '-'], env, Buffer.from(input));
    assert.deepEqual({ code, out }, { code: 1, out: '' });
    assert.match(err, message);
  };
  await refused(BODY, /no X-Nylas-Signature/);
  await refused(`${BODY}\n`, /^Line 1 is no header\. .*a body alone/);
  await refused('HTTP/1.1 200 OK\r\n\r\n', /^Line 1 is no header/);
  await refused('POST / HTTP/1.1\nHost: a\nnonsense\n\n', /^Line 3 is no header/);
  await refused(request({ headers: { Host: 'a.test' } }), /^There is no X-Nylas-Signature/);
  await refused('', /^There is no X-Nylas-Signature/);
  await refused(
    request({ headers: { [STANDARD]: 'v1,x '.repeat(60_000) } }),
    /^There is no empty line in the first 256 kB/,
  );
  await refused(Buffer.alloc(16 * 1024 * 1024 + 1), /^That is more than 16 MB/);
  assert.match((await telltale(['verify', join(folder, 'none')], env)).err, /cannot be read \(ENOENT\)/);
  assert.match((await telltale(['verify', folder], env)).err, /cannot be read \(EISDIR\)/);
  assert.equal((await telltale(['verify', '-'], { WEBHOOK_SECRET: ' ' })).code, 1);
  for (const args of [
    ['verify'],
    ['verify', '-', 'x'],
    ['verify', '-', '--sandbox'],
    ['verify', '-', '--id', 'x'],
    ['verify', '-', '--id', 'x', '--timestamp', '1'],
    ['verify', '-', '--secret', 'x', '--secret-file', 'x'],
    ['app', 'list', '--secret', 'x'],
  ])
    assert.equal((await telltale(args, env)).code, 2, args.join(' '));
  assert.equal((await telltale(['verify', '-'])).code, 2);
});

test('a body nested too deeply to be written anew is judged all the same', async () => {
  const body = Buffer.from(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
  const { told } = await judge(request({ headers: signed(Buffer.from('{}')), body }));
  assert.match(String(told[NYLAS]), /^another secret made it/);
});

test('a header of white space takes no longer than another', async () => {
  const began = performance.now();
  const { told } = await judge(
    request({ headers: { ...signed(BODY), wide: `a${' '.repeat(200_000)}b`, end: 'a \t ' } }),
  );
  assert.deepEqual(told, BOTH);
  assert.ok(performance.now() - began < 5_000);
});

test('it needs no settings and no database', async () => {
  const env = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing', PORT: 'x', WEBHOOK_SECRET: SECRET };
  assert.equal((await telltale(['verify', '-'], env, request({ headers: signed(BODY) }))).code, 0);
});
