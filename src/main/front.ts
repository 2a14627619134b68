// What the edge hands over: health, readiness and metrics at once, everything else to the API when that is there.

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Role } from '../config.ts';
import type { Metrics } from '../metrics.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface Readiness {
  /** Per role of this process: can it do its work now? */
  roles(): ReadonlyMap<Role, boolean>;
  /** All has come up once and the process is not stopping. */
  up(): boolean;
  stopping(): boolean;
}

export interface Front {
  readonly handle: Handler;
  openApi(api: Handler): void;
}

const BUSY = 'The service is starting or stopping; try again in a moment.';
const ELSEWHERE = 'This process does not serve the API (it was started with --roles); ask another one.';

export function makeFront(deps: { readonly metrics: Metrics; readonly readiness: Readiness }): Front {
  const { metrics, readiness } = deps;
  let api: Handler | null = null;
  return {
    openApi(handler) {
      api = handler;
    },
    handle(request, response) {
      // By hand: what stands in a request line need not be a URL, and URL would throw.
      const [path, query = ''] = (request.url ?? '').split('?', 2);
      // `//v3/…`: an apiUri written with a slash at its end.
      if (path?.startsWith('//')) request.url = request.url?.replace(/^\/+/, '/');
      if (request.method === 'GET' || request.method === 'HEAD') {
        if (path === '/health') return health(readiness, response);
        if (path === '/ready') return ready(readiness, new URLSearchParams(query).get('role'), response);
        if (path === '/metrics') return void scrape(metrics, response).catch(() => response.destroy());
      }
      if (api !== null && readiness.up()) return api(request, response);
      refuse(response, readiness.roles().has('api') ? BUSY : ELSEWHERE);
    },
  };
}

function health(readiness: Readiness, response: ServerResponse): void {
  const up = readiness.up();
  answer(response, up ? 200 : 503, { status: up ? 'ok' : 'not ready' });
}

function ready(readiness: Readiness, role: string | null, response: ServerResponse): void {
  const roles = readiness.roles();
  const asked = role === null ? [...roles] : [...roles].filter(([name]) => name === role);
  const good = !readiness.stopping() && asked.length > 0 && asked.every(([, able]) => able);
  answer(response, good ? 200 : 503, { ready: good, roles: Object.fromEntries(asked) });
}

async function scrape(metrics: Metrics, response: ServerResponse): Promise<void> {
  const text = await metrics.text();
  response.writeHead(200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' }).end(text);
}

/** The v3 envelope, for a client that comes before the API is up or after it has begun to stop. */
function refuse(response: ServerResponse, message: string): void {
  const requestId = randomUUID();
  response.setHeader('retry-after', '1').setHeader('x-request-id', requestId).setHeader('connection', 'close');
  answer(response, 503, {
    request_id: requestId,
    error: { type: 'api.internal_error', message },
  });
}

function answer(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response
    .writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
    })
    .end(text);
}
