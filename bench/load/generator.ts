import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface Load {
  answers: number;
  seconds: number;
  /** Milliseconds, ascending. */
  latencies: Float64Array;
}

interface Client {
  socket: Socket;
  /** Bytes of the answer still to come, 0 when idle. */
  missing: number;
  sentAt: number;
}

/** Keeps `connections` requests under way for `ms`. Every answer must have the length of the first one. */
export async function closedLoop(port: number, requests: Buffer[], connections: number, ms: number): Promise<Load> {
  return run(port, requests, connections, (clients, send) => {
    const until = performance.now() + ms;
    for (const client of clients) send(client, performance.now());
    return (client) => {
      const now = performance.now();
      if (now >= until) return false;
      send(client, now);
      return true;
    };
  });
}

/**
 * Sends `perSecond` requests evenly over `ms`, whether or not earlier ones were answered; latency counts from the
 * planned moment, so a server that falls behind cannot hide it.
 */
export async function fixedRate(
  port: number,
  requests: Buffer[],
  connections: number,
  perSecond: number,
  ms: number,
): Promise<Load> {
  const total = Math.round((perSecond * ms) / 1000);
  return run(port, requests, connections, (clients, send) => {
    const idle = [...clients];
    const started = performance.now();
    let planned = 0;
    const pump = (): void => {
      const due = Math.min(total, Math.floor(((performance.now() - started) * perSecond) / 1000));
      while (planned < due) {
        const client = idle.pop();
        if (client === undefined) break;
        send(client, started + (planned++ * 1000) / perSecond);
      }
      if (planned < total) setTimeout(pump, 1);
    };
    pump();
    return (client) => {
      idle.push(client);
      return planned < total || idle.length < clients.length;
    };
  });
}

type Next = (client: Client) => boolean;
type Send = (client: Client, at: number) => void;

async function run(
  port: number,
  requests: Buffer[],
  connections: number,
  begin: (clients: Client[], send: Send) => Next,
): Promise<Load> {
  const clients = await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      await once(socket, 'connect');
      return { socket, missing: 0, sentAt: 0 };
    }),
  );
  const length = await answerLength(port, requests[0]);
  const latencies: number[] = [];
  let turn = 0;
  const send: Send = (client, at) => {
    client.missing = length;
    client.sentAt = at;
    client.socket.write(requests[turn++ % requests.length] ?? '');
  };
  const started = performance.now();
  await new Promise<void>((resolve, reject) => {
    let ended = 0;
    const next = begin(clients, send);
    for (const client of clients) {
      client.socket.on('error', reject).on('close', () => reject(new Error('the server closed a connection')));
      client.socket.on('data', (chunk) => {
        client.missing -= chunk.length;
        if (client.missing > 0) return;
        if (client.missing < 0) reject(new Error('an answer of another length'));
        latencies.push(performance.now() - client.sentAt);
        if (!next(client) && ++ended >= 1 && clients.every(({ missing }) => missing <= 0)) resolve();
      });
    }
  });
  const seconds = (performance.now() - started) / 1000;
  for (const { socket } of clients) socket.removeAllListeners('close').destroy();
  return { answers: latencies.length, seconds, latencies: Float64Array.from(latencies).sort() };
}

async function answerLength(port: number, request: Buffer | undefined): Promise<number> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.write(request ?? '');
  let text = '';
  for await (const chunk of socket) {
    text += chunk.toString('latin1');
    const head = text.indexOf('\r\n\r\n') + 4;
    const body = Number(/content-length: (\d+)/i.exec(text)?.[1]);
    if (head >= 4 && text.length >= head + body) break;
  }
  if (!/^HTTP\/1\.1 (200|302) /.test(text)) throw new Error(`unexpected answer: ${text.slice(0, 100)}`);
  return text.length;
}
