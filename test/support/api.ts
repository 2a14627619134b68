import { createServer, type Server } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { pino } from 'pino';
import type { Http, Routes } from '../../src/api/http.ts';
import { type ApiDeps, createApi } from '../../src/api/server.ts';
import type { Query } from '../../src/db/pool.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { watchAnswers } from './watched-answers.ts';

export const TEST_SECRET = 'a secret long enough for tests';

export interface TestApi {
  readonly http: Http;
  readonly url: string;
  /** Every route there is, as `GET /v3/grants/:identifier`; HEAD left out. */
  readonly routes: readonly string[];
  /** The log so far, parsed. */
  readonly log: readonly Record<string, unknown>[];
  /** Sends bytes as they are and gives the bytes of the answer, once the server closes the connection. */
  raw(request: string): Promise<string>;
  close(): Promise<void>;
}

/** The API on a port of its own, mounted on a bare node:http server as the edge does it. Closing it fails when an answer was not as it has to be. */
export async function startApi(
  sql: Query,
  routes: readonly Routes[],
  publicUrl = 'http://localhost:8080',
  more: Pick<ApiDeps, 'limiter'> = {},
): Promise<TestApi> {
  const log: Record<string, unknown>[] = [];
  const sink = { write: (line: string) => log.push(JSON.parse(line)) };
  const http = createApi({
    sql,
    log: pino({ level: 'info', base: null, messageKey: 'event' }, sink),
    ring: parseKeyring(TEST_SECRET),
    publicUrl,
    routes,
    ...more,
  });
  const served = new Set<string>();
  http.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) if (each !== 'HEAD') served.add(`${each} ${url}`);
  });
  await http.ready();
  const answers = watchAnswers(http);
  const server = createServer(answers.handle);
  const port = await listen(server);
  return {
    http,
    url: `http://127.0.0.1:${port}`,
    routes: [...served],
    log,
    raw: (request) => exchange(port, request),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await http.close();
      answers.assertGood();
    },
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
}

function exchange(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(port, '127.0.0.1', () => socket.write(request));
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(text));
  });
}
