// What goes over the wire, and when.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fullBacklog } from '../test/support/full-backlog.ts';
import { say, sayAndReset, startRawReceiver } from '../test/support/raw-receiver.ts';
import { startReceiver, status } from '../test/support/receiver.ts';
import { parseRanges } from './addresses.ts';
import { makeSafeFetch, type PublicUrl, parsePublicUrl, type SafeFetch, type SafeFetchDeps } from './safe-fetch.ts';

const POST = { method: 'POST', headers: {}, body: '{}', deadlineMs: 5_000, maxAnswerBytes: 1_000 } as const;
const linux = process.platform === 'linux' ? {} : { skip: 'needs the backlog of Linux' };

interface Context {
  after(release: () => Promise<void>): void;
}

function fetcher(context: Context, deps: Partial<SafeFetchDeps> = {}): SafeFetch {
  const made = makeSafeFetch({ allowLoopback: true, allowPrivateTargets: parseRanges(''), ...deps });
  context.after(() => made.close());
  return made;
}

async function keep<T extends { close(): Promise<void> }>(context: Context, starting: Promise<T>): Promise<T> {
  const started = await starting;
  context.after(() => started.close());
  return started;
}

function url(text: string): PublicUrl {
  const parsed = parsePublicUrl(text);
  assert.ok(typeof parsed === 'string', `${text} should parse`);
  return parsed;
}

test('what has missed its deadline before there was a connection never leaves', async (t) => {
  const target = await keep(t, startReceiver());
  const waits = [150, 0];
  const names = {
    lookUp: (): Promise<readonly string[]> =>
      new Promise((resolve) => setTimeout(() => resolve(['127.0.0.1']), waits.shift() ?? 0)),
  };
  const safe = fetcher(t, { names });
  const at = url(`http://slow.test:${target.port}/hook`);
  let left = 0;
  const late = await safe.request(at, { ...POST, deadlineMs: 50, onLeaving: () => left++ });
  assert.equal(late.kind, 'timeout');
  await new Promise((resolve) => setTimeout(resolve, 200)); // its connection is there by now
  assert.equal((await safe.request(at, { ...POST, body: 'second', onLeaving: () => left++ })).kind, 'ok');
  assert.deepEqual(
    target.deliveries.map(({ body }) => body.toString()),
    ['second'],
  );
  assert.equal(left, 1);
});

test('it tells when a request leaves, not when it is asked for and not when it is answered', async (t) => {
  const told: string[] = [];
  const target = await keep(t, startReceiver());
  target.behave((_request, response) => {
    told.push('arrived');
    response.end();
  });
  const names = {
    async lookUp(): Promise<readonly string[]> {
      told.push('named');
      return ['127.0.0.1'];
    },
  };
  const safe = fetcher(t, { names });
  for (let turn = 0; turn < 2; turn++) {
    await safe.request(url(`http://some.test:${target.port}/`), { ...POST, onLeaving: () => told.push('left') });
    told.push('answered');
  }
  assert.deepEqual(told.slice(0, 4), ['named', 'left', 'arrived', 'answered']);
  assert.deepEqual(told.slice(-3), ['left', 'arrived', 'answered']);
});

test('an idle connection is closed before a server that keeps it for two seconds would', async (t) => {
  const ended: number[] = [];
  const target = await keep(
    t,
    startRawReceiver((socket) => {
      const answered = performance.now();
      socket.on('end', () => ended.push(performance.now() - answered));
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    }),
  );
  const safe = fetcher(t);
  await safe.request(url(target.url), POST);
  while (ended.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok((ended[0] ?? 0) > 1_000 && (ended[0] ?? 0) < 1_950, `after ${ended[0]} ms`);
});

test('an address that does not answer costs a moment, not the whole deadline', linux, async (t) => {
  const full = await keep(t, fullBacklog('127.0.0.2'));
  const target = await keep(t, startReceiver({ host: '127.0.0.3', port: full.port }));
  const names = { lookUp: async () => ['127.0.0.2', '127.0.0.3'] };
  const began = performance.now();
  const outcome = await fetcher(t, { names }).request(url(`http://two.test:${full.port}/hook`), POST);
  assert.equal(outcome.kind, 'ok');
  assert.equal(target.deliveries.length, 1);
  assert.ok(performance.now() - began < 2_500);
});

test('the first of two Retry-After counts', async (t) => {
  const answer = 'HTTP/1.1 503 Busy\r\nretry-after: 30\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n';
  const target = await keep(t, startRawReceiver(say(answer)));
  const outcome = await fetcher(t).request(url(target.url), POST);
  assert.ok(outcome.kind === 'status' && outcome.retryAfter === '30');
});

test('a status without its whole answer is no answer, and people are told of both', async (t) => {
  const target = await keep(t, startRawReceiver(sayAndReset('HTTP/1.1 202 Fine\r\ncontent-length: 9\r\n\r\nhalf')));
  assert.deepEqual(await fetcher(t).request(url(target.url), POST), {
    kind: 'closed',
    detail: 'the answer broke off, after status 202 (ECONNRESET)',
  });
});

test('a 204 or 304 has no body, whatever length it gives, and its connection goes on', async (t) => {
  const target = await keep(t, startReceiver());
  const safe = fetcher(t);
  for (const code of [204, 304, 204]) {
    target.behave(status(code));
    const outcome = await safe.request(url(target.url), POST);
    assert.ok('status' in outcome && outcome.status === code && outcome.body === '');
  }
  assert.ok(target.connections() <= 2);
});
