// The edge under clients that are unusual, impatient or hostile, byte by byte.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type RunningEdge, startEdge } from '../support/edge.ts';
import { exchange, type RawAnswer, RawClient } from '../support/raw-client.ts';

const HOST = 'Host: t.example.com\r\n';
let edge: RunningEdge;

before(async () => {
  edge = await startEdge();
});

after(() => edge.stop());

const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\n${HOST}${headers}\r\n`;
const withoutDate = (raw: string): string => raw.replace(/\r\nDate: [^\r]*/, '\r\nDate: -');

async function withClient(work: (client: RawClient) => Promise<void>): Promise<void> {
  const client = await RawClient.open(edge.port);
  try {
    await work(client);
  } finally {
    client.destroy();
  }
}

test('the short cut sends the bytes node:http sends', async () => {
  const paths = [edge.pixel(), edge.link('https://espn.com'), edge.link('https://пример.example/'), '/c/x', '/o/x.gif'];
  for (const path of paths) {
    const short = await exchange(edge.port, get(path));
    // An empty TE means nothing, but node:http is asked about it.
    const long = await exchange(edge.port, get(path, 'TE: \r\n'));
    assert.equal(withoutDate(short.raw), withoutDate(long.raw), path);
    assert.ok(Math.abs(Date.parse(short.headers.get('date') ?? '') - Date.now()) < 3000);
  }
});

test('many requests on one connection, links, pixels and others mixed', async () => {
  await withClient(async (client) => {
    for (let i = 0; i < 20; i++) {
      client.send(get(edge.pixel()));
      assert.equal((await client.answer()).headers.get('connection'), 'keep-alive');
      client.send(get(edge.link('https://espn.com')));
      assert.equal((await client.answer()).status, 302);
      if (i < 10) continue;
      client.send(get(`/other/${i}`));
      const answer = await client.answer();
      assert.match(answer.headers.get('transfer-encoding') ?? answer.body, /chunked|other/);
    }
  });
});

test('another request gets to the fallback whole: method, all headers, body', async () => {
  await withClient(async (client) => {
    client.send(get(edge.pixel()));
    await client.answer();
    client.send(
      `POST /v3/x?y=1 HTTP/1.1\r\n${HOST}X-One: 1\r\nX-Two: 2\r\nCookie: a=b\r\nContent-Length: 11\r\n\r\nhello`,
    );
    await delay(20);
    client.send(' world');
    const { body } = await client.answer();
    const seen = JSON.parse(body);
    assert.deepEqual([seen.method, seen.url, seen.body], ['POST', '/v3/x?y=1', 'hello world']);
    assert.equal(seen.headers['x-one'], '1');
    assert.equal(seen.headers.cookie, 'a=b');
  });
});

test('pipelined requests are answered in order', async () => {
  const paths = [
    edge.pixel(),
    edge.link('https://a.example'),
    '/v3/first',
    edge.link('https://b.example'),
    edge.pixel(),
  ];
  const expect = async (client: RawClient): Promise<void> => {
    assert.equal((await client.answer()).headers.get('content-type'), 'image/gif');
    assert.equal((await client.answer()).headers.get('location'), 'https://a.example');
    assert.equal(JSON.parse((await client.answer()).body).url, '/v3/first');
    assert.equal((await client.answer()).headers.get('location'), 'https://b.example');
    assert.equal((await client.answer()).headers.get('content-type'), 'image/gif');
  };
  await withClient(async (client) => {
    client.send(paths.map((path) => get(path)).join(''));
    await expect(client);
  });
  // In writes of their own, the later ones while the first is being committed.
  await withClient(async (client) => {
    for (const path of paths) {
      client.send(get(path));
      await new Promise(setImmediate);
    }
    await expect(client);
  });
});

test('a request may come in pieces of any size', async () => {
  const text = get(edge.link('https://espn.com'), 'User-Agent: slow\r\n');
  for (const size of [1, 7, 100]) {
    await withClient(async (client) => {
      for (let at = 0; at < text.length; at += size) {
        client.send(text.slice(at, at + size));
        if (at % 50 === 0) await delay(1);
      }
      assert.equal((await client.answer()).status, 302);
    });
  }
});

test('HTTP/1.0 and Connection: close end the connection after the answer', async () => {
  const requests = [
    `GET ${edge.pixel()} HTTP/1.0\r\n\r\n`,
    `GET ${edge.link('https://espn.com')} HTTP/1.0\r\n${HOST}\r\n`,
    get(edge.pixel(), 'Connection: close\r\n'),
    get(edge.link('https://espn.com'), 'connection: Close\r\n'),
  ];
  for (const request of requests) {
    await withClient(async (client) => {
      client.send(request);
      const answer = await client.answer();
      assert.ok(answer.status === 200 || answer.status === 302);
      assert.equal(answer.headers.get('connection'), 'close');
      await client.closed;
    });
  }
});

test('HTTP/1.0 may ask to keep the connection', async () => {
  await withClient(async (client) => {
    for (let i = 0; i < 2; i++) {
      client.send(`GET ${edge.pixel()} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`);
      assert.equal((await client.answer()).headers.get('connection'), 'keep-alive');
    }
  });
});

test('a body sent to a pixel or link is read past', async () => {
  await withClient(async (client) => {
    const body = 'x'.repeat(100_000);
    client.send(`POST ${edge.pixel()} HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n${body}`);
    assert.equal((await client.answer()).headers.get('content-type'), 'image/gif');
    client.send(`GET ${edge.pixel()} HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`);
    assert.equal((await client.answer()).headers.get('content-type'), 'image/gif');
    client.send(`POST ${edge.link('https://espn.com')} HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nGET /`);
    assert.equal((await client.answer()).status, 405);
    client.send(get(edge.pixel()));
    assert.equal((await client.answer()).status, 200);
  });
});

test('a client that is gone before its answer leaves its hit and no trouble', async () => {
  await edge.hits();
  const clients = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(edge.port)));
  for (const [index, client] of clients.entries()) {
    client.send(get(edge.pixel(), index % 2 === 0 ? '' : 'TE: \r\n'));
  }
  const arrived = edge.counters.open;
  while (edge.counters.open < arrived + 1) await new Promise(setImmediate);
  for (const client of clients) client.socket.resetAndDestroy();
  await Promise.all(clients.map(({ closed }) => closed));
  assert.equal((await exchange(edge.port, get(edge.pixel()))).status, 200);
  assert.ok((await edge.hits()).length >= 2);
});

test('a client that closes its half still gets the answer', async () => {
  await withClient(async (client) => {
    client.socket.end(get(edge.pixel()));
    assert.equal((await client.answer()).status, 200);
    await client.closed;
  });
});

test('what is no HTTP gets 400, what is too long 431, as an error of the API, and the connection ends', async () => {
  const chunked = `POST /a HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`;
  const table: [request: string, status: number][] = [
    ['nonsense\r\n\r\n', 400],
    [`${chunked}nonsense\r\n`, 400],
    [`${chunked}1;${'a'.repeat(20_000)}\r\n`, 413],
    [`GET ${edge.pixel()} HTTP/1.1\r\n${HOST}\r\nnonsense\r\n\r\n`, 400],
    [`GET /${'a'.repeat(2_000_000)} HTTP/1.1\r\n${HOST}\r\n`, 431],
    [`GET ${edge.pixel()} HTTP/1.1\r\n${HOST}X-A : b\r\n\r\n`, 400],
    [`GET ${edge.pixel()} HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
    [`GET /c/${'a'.repeat(20_000)} HTTP/1.1\r\n${HOST}\r\n`, 431],
    [`GET ${edge.pixel()} HTTP/1.1\r\n${HOST}X-A: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
  ];
  for (const [request, status] of table) {
    await withClient(async (client) => {
      client.send(request);
      let { status: answered, headers, body } = await client.answer();
      if (answered === 200) ({ status: answered, headers, body } = await client.answer());
      assert.equal(answered, status, request.slice(0, 60));
      isRefusal({ headers, body });
      await client.closed;
    });
  }
  // Long, but within node's limits: an ordinary answer.
  assert.equal((await exchange(edge.port, get(`/c/${'a'.repeat(10_000)}`))).status, 404);
  assert.equal((await exchange(edge.port, get(`${edge.pixel()}?${'a'.repeat(10_000)}`))).status, 200);
});

function isRefusal({ headers, body }: Pick<RawAnswer, 'headers' | 'body'>): void {
  assert.equal(headers.get('content-type'), 'application/json');
  const { request_id: id, error } = JSON.parse(body);
  assert.equal(headers.get('x-request-id'), id);
  assert.deepEqual(Object.keys(error), ['type', 'message']);
  assert.equal(error.type, 'api.invalid_request_error');
}

test('what is no HTTP behind a request whose answer has begun ends the connection, and cuts nothing in two', async () => {
  const other = await startEdge({ fallback: (_, res) => void res.write('begun') });
  const client = await RawClient.open(other.port);
  client.send(get('/'));
  while (!client.left.includes('begun')) await once(client.socket, 'data');
  client.send('nonsense\r\n\r\n');
  await client.closed;
  assert.doesNotMatch(client.left, /error/);
  await other.stop();
});

test('a request without Host is refused, a link without is answered; what is expected does not matter', async () => {
  assert.equal((await exchange(edge.port, `GET ${edge.pixel()} HTTP/1.1\r\n\r\n`)).status, 200);
  await withClient(async (client) => {
    client.send('POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx');
    const answer = await client.answer();
    assert.equal(answer.status, 400);
    isRefusal(answer);
    client.send(get('/after', 'Expect: the best\r\n'));
    assert.equal(JSON.parse((await client.answer()).body).url, '/after');
  });
  assert.equal((await exchange(edge.port, 'GET / HTTP/1.0\r\n\r\n')).status, 200, 'HTTP/1.0 knows no Host');
});

test('a second request cannot be hidden inside the first', async () => {
  await edge.hits();
  const inner = get(edge.link('https://hidden.example'));
  const disguises = [
    `GET ${edge.pixel()} HTTP/1.1\r\n${HOST}Content-Length: ${inner.length}\r\n\r\n${inner}`,
    `GET ${edge.pixel()} HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
  ];
  for (const request of disguises) {
    await withClient(async (client) => {
      client.send(request);
      assert.equal((await client.answer()).headers.get('content-type'), 'image/gif');
      client.send(get('/after'));
      assert.equal(JSON.parse((await client.answer()).body).url, '/after');
    });
  }
  assert.ok((await edge.hits()).every(({ kind }) => kind === 'open'));
});

test('closing: answers under way finish, their connections end, idle ones end at once', async () => {
  const other = await startEdge();
  const open = () => RawClient.open(other.port);
  const [silent, idleShort, idleLong, busy, fallback] = [
    await open(),
    await open(),
    await open(),
    await open(),
    await open(),
  ];
  idleShort.send(get(other.pixel()));
  idleLong.send(get(other.pixel(), 'TE: \r\n'));
  await idleShort.answer();
  await idleLong.answer();
  fallback.send(`POST /slow HTTP/1.1\r\n${HOST}Content-Length: 4\r\n\r\nab`);
  busy.send(get(other.link('https://espn.com')));
  while (other.counters.click === 0) {
    // Its hit is in the spool's hands, its answer not yet sent.
    if (busy.left !== '') break;
    await new Promise(setImmediate);
  }
  const stopped = other.stop();
  assert.equal((await busy.answer()).status, 302);
  await Promise.all([silent.closed, idleShort.closed, idleLong.closed, busy.closed]);
  fallback.send('cd');
  assert.equal(JSON.parse((await fallback.answer()).body).body, 'abcd');
  await fallback.closed;
  await stopped;
  await assert.rejects(RawClient.open(other.port));
});
