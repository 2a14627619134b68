// A real HTTP receiver for webhooks, with the manners and the bad manners of real ones.
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  /** Unix milliseconds at which the last byte had arrived. */
  readonly at: number;
}

export type Behaviour = (request: Received, response: ServerResponse) => void;

export interface Receiver {
  /** `http://127.0.0.1:<port>/hook`, or https where a certificate was given. */
  readonly url: string;
  readonly origin: string;
  readonly port: number;
  /** Every request in the order of arrival, challenges included. */
  readonly received: readonly Received[];
  /** The POSTs among them. */
  readonly deliveries: readonly Received[];
  /** How the next POSTs are answered; challenges are answered as they should be unless `everything` is given. */
  behave(behaviour: Behaviour, everything?: 'everything'): void;
  /** Resolves as soon as `count` POSTs have arrived in all, with those POSTs; rejects after `withinMs`. */
  arrived(count: number, withinMs?: number): Promise<readonly Received[]>;
  /** Connections opened so far. */
  connections(): number;
  close(): Promise<void>;
}

export interface ReceiverOptions {
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly host?: string;
  /** 0 for any. */
  readonly port?: number;
}

export async function startReceiver(options: ReceiverOptions = {}): Promise<Receiver> {
  const host = options.host ?? '127.0.0.1';
  const received: Received[] = [];
  const deliveries: Received[] = [];
  const waiting = new Set<() => void>();
  let post: Behaviour = status(200);
  let get: Behaviour = echoChallenge;
  let connections = 0;

  const listener: RequestListener = (message, response) => {
    void readAll(message).then((body) => {
      const url = new URL(message.url ?? '/', 'http://receiver');
      const request: Received = {
        method: message.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: message.headers,
        body,
        at: Date.now(),
      };
      received.push(request);
      if (request.method === 'POST') deliveries.push(request);
      (request.method === 'GET' ? get : post)(request, response);
      for (const look of waiting) look();
    });
  };
  const server: Server = options.tls ? createTlsServer(options.tls, listener) : createServer(listener);
  server.on('connection', () => connections++);
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, host, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const origin = `${options.tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;

  return {
    url: `${origin}/hook`,
    origin,
    port,
    received,
    deliveries,
    behave(behaviour, everything) {
      post = behaviour;
      get = everything ? behaviour : echoChallenge;
    },
    arrived(count, withinMs = 10_000) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`${deliveries.length} of ${count} deliveries arrived within ${withinMs} ms`));
        }, withinMs);
        const look = (): void => {
          if (deliveries.length < count) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(deliveries.slice(0, count));
        };
        waiting.add(look);
        look();
      });
    },
    connections: () => connections,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** The page's own handler: `return request.args.get("challenge", ""), 200`, with a Content-Length. */
export const echoChallenge: Behaviour = (request, response) => {
  const challenge = request.query.get('challenge') ?? '';
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-length': challenge.length });
  response.end(challenge);
};

export function status(code: number, headers: Record<string, string> = {}, body = ''): Behaviour {
  return (_request, response) => void response.writeHead(code, headers).end(body);
}

/** What Flask's `request.get_json()` accepts: the media type application/json and a body that parses, else 415 or 400. */
export const flask: Behaviour = (request, response) => {
  const mediaType = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') return void response.writeHead(415).end('Unsupported Media Type');
  try {
    const event = JSON.parse(request.body.toString('utf8'));
    if (typeof event.type !== 'string' || typeof event.data.object.message_id !== 'string') throw new Error('KeyError');
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-length': 0 }).end();
  } catch {
    response.writeHead(400).end('Bad Request');
  }
};

/** Takes the request and never says a word. */
export const hang: Behaviour = () => {};

/** Headers at once, then one byte every `everyMs` for ever. */
export function dribble(everyMs: number): Behaviour {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    const timer = setInterval(() => response.write('.'), everyMs);
    response.on('close', () => clearInterval(timer));
  };
}

/** Says 200 and a length, then hangs up half-way. */
export const closeEarly: Behaviour = (_request, response) => {
  response.writeHead(200, { 'content-length': 100 });
  response.write('half');
  setImmediate(() => response.destroy());
};

/** Hangs up without an answer. */
export const hangUp: Behaviour = (_request, response) => void response.destroy();

/** A body without end. */
export const flood: Behaviour = (_request, response) => {
  response.writeHead(200, { 'content-type': 'text/plain' });
  const more = (): void => {
    while (response.write('x'.repeat(65_536)) && !response.destroyed);
  };
  response.on('drain', more);
  more();
};

/** One after the other for successive requests; the last one stays. */
export function inTurn(...behaviours: readonly [Behaviour, ...Behaviour[]]): Behaviour {
  let turn = 0;
  return (request, response) => {
    const behaviour = behaviours[Math.min(turn++, behaviours.length - 1)] ?? behaviours[0];
    behaviour(request, response);
  };
}

async function readAll(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk);
  return Buffer.concat(chunks);
}
