// No single request, however odd, slow or unlucky, ends the edge or holds it up.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Settle } from '../../src/tracking/spool.ts';
import { noStops, type RunningEdge, startEdge } from '../support/edge.ts';
import { exchange, RawClient } from '../support/raw-client.ts';

const HOST = 'Host: t.example.com\r\n';
const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\n${HOST}${headers}\r\n`;
/** An empty TE means nothing, but takes a request off the short cut. */
const WAYS = ['', 'TE: \r\n'];
const broken = (): never => {
  throw new Error('broken');
};

async function withEdge(
  more: Parameters<typeof startEdge>[0],
  work: (edge: RunningEdge) => Promise<void>,
): Promise<void> {
  const edge = await startEdge(more);
  try {
    await work(edge);
  } finally {
    await edge.stop();
  }
}

/** Null when the connection ends without an answer. */
async function statusOf(port: number, request: string, options = {}): Promise<number | null> {
  return exchange(port, request, options).then(
    ({ status }) => status,
    () => null,
  );
}

test('a fallback that throws: 500 for whatever is HTTP, and the next request is answered', async () => {
  const reached: string[] = [];
  const fallback = ({ url = '' }: IncomingMessage): void => {
    reached.push(url);
    broken();
  };
  await withEdge({ fallback, trackingOnlyHost: 'track.test', publicHost: 'app.test' }, async (edge) => {
    const targets = [
      ...[
        '/',
        '//',
        '///',
        '/%',
        '/%ff%fe',
        '/\\',
        '/a?b?c#d',
        '*',
        '//:80',
        '//[',
        '/v3/../..',
        `/${'a'.repeat(12_000)}`,
      ],
      ...['http://[', 'http://', 'http://:80', 'http://a:b:c/', 'http://[::1', 'ftp://x', ':', '?', '#', 'x', ' ', ''],
      ...['/\u00e4\u00ff', '/\0', '/\x7f', '\xff\xfe\xfd', '/\t', `/${'a'.repeat(40_000)}`, 'http://%zz/', '//@/', '%'],
    ];
    const methods = ['GET', 'HEAD', 'POST', 'OPTIONS', 'TRACE', 'CONNECT', 'PROPFIND', 'M-SEARCH', 'get', '', '\xff'];
    for (const target of targets)
      for (const method of methods) {
        const before = reached.length;
        const request = `${method} ${target} HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`;
        const status = await statusOf(edge.port, request, { head: true });
        const what = JSON.stringify(request.slice(0, 60));
        if (reached.length > before) assert.equal(status, 500, what);
        else assert.ok(status === null || status === 400 || status === 431, `${what}: ${status}`);
      }
    for (const target of ['/', '//', '//:80', '/%', '*']) assert.ok(reached.includes(target), target);
    for (const host of ['', ':', '[', 'a:b:c', '\xff', ' ', '.', 'track.test..'])
      assert.equal(await statusOf(edge.port, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 500, host);
    assert.equal(await statusOf(edge.port, get(edge.pixel())), 200);
  });
});

test('a fallback that throws half way: none of its headers, and no second answer after a first', async () => {
  await withEdge(
    {
      fallback(req, res) {
        if (req.url === '/set') res.setHeader('Set-Cookie', 'a=b').setHeader('Content-Length', 7);
        if (req.url === '/begun') res.writeHead(200, { 'Content-Length': 7 }).write('abc');
        if (req.url === '/done') res.end('done');
        broken();
      },
    },
    async (edge) => {
      const set = await exchange(edge.port, get('/set'));
      assert.equal(set.status, 500);
      assert.equal(set.headers.get('set-cookie'), undefined);
      assert.match(set.body, /Something went wrong/);
      assert.equal(await statusOf(edge.port, get('/begun')), null);
      assert.equal((await exchange(edge.port, get('/done'))).body, 'done');
      assert.equal(await statusOf(edge.port, get(edge.pixel())), 200);
    },
  );
});

test('a link or pixel that cannot be answered gets 500, on either way, and its connection goes on', async () => {
  const stops = { ...noStops, message: broken };
  const lookUpLink = async () => 'https://example.com/';
  await withEdge({ stops, lookUpLink }, async (edge) => {
    const lookedUp = edge.link('https://example.com/').slice(0, 83);
    for (const headers of WAYS) {
      const client = await RawClient.open(edge.port);
      for (const path of [edge.pixel(), edge.link('https://example.com/'), lookedUp]) {
        client.send(get(path, headers));
        assert.equal((await client.answer()).status, 500, path);
      }
      client.destroy();
    }
  });
});

test('a connection that cannot be accepted ends nothing', async () => {
  await withEdge({}, async ({ edge, port, pixel }) => {
    edge.server.emit('error', new Error('accept EMFILE'));
    assert.equal(await statusOf(port, get(pixel())), 200);
  });
});

test('whoever sends headers byte by byte is cut off, also after requests on the short cut', async () => {
  await withEdge({ headersMs: 400 }, async (edge) => {
    const dribble = async (start: string, rest: string): Promise<void> => {
      const client = await RawClient.open(edge.port);
      if (start !== '') {
        client.send(start);
        if (start.endsWith('\r\n\r\n')) assert.equal((await client.answer()).status, 200);
      }
      let open = true;
      const closed = client.closed.then(() => {
        open = false;
      });
      const began = performance.now();
      for (let at = 0; open && at < rest.length; at++) {
        client.send(rest[at] ?? '');
        await Promise.race([closed, delay(50)]);
      }
      const took = performance.now() - began;
      assert.ok(!open && took < 2000, `${took} ms`);
      assert.match(client.left, /^HTTP\/1\.1 408 /);
    };
    const slow = get(edge.pixel());
    await Promise.all([
      dribble('', slow),
      dribble(slow.slice(0, 100), 'x'.repeat(100)),
      dribble(get(edge.pixel()), slow),
      dribble(get(edge.pixel(), 'TE: \r\n'), slow),
    ]);
  });
});

test('closing takes two seconds at most, whatever the fallback does', async () => {
  const edge = await startEdge({ fallback() {} });
  const client = await RawClient.open(edge.port);
  client.send(get('/never'));
  await delay(20);
  const began = performance.now();
  await edge.stop();
  const took = performance.now() - began;
  assert.ok(took > 1000 && took < 2400, `${took} ms`);
  await client.closed;
});

test('closing does not wait for a client to close its half', async () => {
  let settle: Settle | null = null;
  const edge = await startEdge({
    spool: {
      append(_, given) {
        settle = given;
      },
    },
  });
  const held = (): Settle | null => settle;
  const socket = connect({ port: edge.port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  socket.write(get(edge.pixel()));
  while (held() === null) await new Promise(setImmediate);
  const began = performance.now();
  const stopped = edge.stop();
  held()?.('durable');
  const [text] = await once(socket, 'data');
  assert.match(String(text), /^HTTP\/1\.1 200 OK\r\n/);
  await stopped;
  assert.ok(performance.now() - began < 1000);
  socket.destroy();
});
