import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { PIXEL, type Reply } from './answer.ts';
import { type Lane, openLane } from './lane.ts';

const REQUEST = 'GET /o/x HTTP/1.1\r\nHost: t.example.com\r\n\r\n';
let server: Server;
let lane: Lane;
let port = 0;
const waiting: Reply[] = [];

before(async () => {
  server = createServer((_, res) => res.end('from node:http'));
  lane = openLane({
    server,
    handle: (_, reply) => void waiting.push(reply),
    keepAliveMs: 300,
    firstByteMs: 200,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address === 'object' && address !== null) port = address.port;
});

after(() => {
  lane.close();
  server.closeAllConnections();
  server.close();
});

async function client(): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  return socket.setEncoding('latin1');
}

async function nextWaiting(): Promise<Reply> {
  for (;;) {
    const reply = waiting.shift();
    if (reply !== undefined) return reply;
    await new Promise(setImmediate);
  }
}

test('a connection on which nothing comes is closed', async () => {
  const socket = await client();
  socket.resume();
  await once(socket, 'close');
});

test('an idle connection is closed, one that awaits an answer is not', async () => {
  const socket = await client();
  socket.write(REQUEST);
  const reply = await nextWaiting();
  let ended = false;
  socket.once('close', () => {
    ended = true;
  });
  // Two sweeps of other connections pass meanwhile.
  for (let i = 0; i < 2; i++) {
    const other = await client();
    other.resume();
    await once(other, 'close');
  }
  assert.equal(ended, false);
  reply(PIXEL);
  const [text] = await once(socket, 'data');
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(text, /Keep-Alive: timeout=0\.3\r\n/);
  if (!ended) await once(socket, 'close');
});

test('a connection handed over stays with node:http', async () => {
  const socket = await client();
  socket.write('HEAD / HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(socket, 'data');
  socket.write(REQUEST);
  const [text] = await once(socket, 'data');
  assert.match(text, /from node:http/);
  assert.equal(waiting.length, 0);
  socket.destroy();
});

test('an answer to a connection that is gone goes nowhere', async () => {
  const socket = await client();
  socket.write(REQUEST);
  const reply = await nextWaiting();
  socket.resetAndDestroy();
  while ((await connections()) > 0) await new Promise(setImmediate);
  reply(PIXEL);
});

function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
  });
}
