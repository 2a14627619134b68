import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Ranges } from '../addresses.ts';
import type { Spool } from '../tracking/spool.ts';
import type { TokenKeys } from '../tracking/token.ts';
import type { Answer, Reply, TrackedRequest } from './answer.ts';
import { answerClick } from './click.ts';
import type { EdgeCounters } from './counters.ts';
import { openLane } from './lane.ts';
import { boundedLookUp, type LookUpLink } from './lookup.ts';
import { answerOpen } from './open.ts';
import { failedPage, notFoundPage } from './pages.ts';
import type { EdgeParts } from './parts.ts';
import { refuseConnection, withoutHost } from './refused.ts';
import type { StopList } from './stops.ts';
import { tellTrackingHost } from './tracking-host.ts';

export interface EdgeDeps {
  keys: TokenKeys;
  spool: Pick<Spool, 'append'>;
  stops: StopList;
  /** The destination in a link's row, null when there is no such row; throws without a database. */
  lookUpLink: LookUpLink;
  trustedProxies: Ranges;
  /** `host[:port]` that serves tracked links and pixels and nothing else; null: there is none apart. */
  trackingOnlyHost: string | null;
  /** `host[:port]` of everything else; without it `trackingOnlyHost` is known by name and port. */
  publicHost?: string;
  counters: EdgeCounters;
  /** Gets every other request that names a host, untouched. */
  fallback(req: IncomingMessage, res: ServerResponse): void;
  /** Time in which the headers of a request must come; for tests. */
  headersMs?: number;
}

export interface Edge {
  readonly server: Server;
  /** Resolves with the port: the one asked for, or one that was free for 0. */
  listen(port: number, host: string): Promise<number>;
  /** Lets answers under way finish, closes every connection after its answer; two seconds at most. */
  close(): Promise<void>;
}

/** Above the idle time of common load balancers (60 s), so that they close a connection, not we under their request. */
const KEEP_ALIVE_MS = 75_000;
const HEADERS_MS = 10_000;
/** A whole request, attachments on a slow line included. */
const REQUEST_MS = 300_000;
/** Below what the whole service grants its doors when it stops (2.5 s). */
const CLOSE_MS = 2000;
const SWEEP_MS = 20;
const CLOSE = ['Connection', 'close'];

/** The front door: answers tracked links and pixels itself and hands everything else on. */
export function createEdge(deps: EdgeDeps): Edge {
  let closing = false;
  const { lookUpLink, trackingOnlyHost, publicHost = null, fallback, headersMs = HEADERS_MS, ...shared } = deps;
  const asksTrackingHost = tellTrackingHost(trackingOnlyHost, publicHost);
  const parts: EdgeParts = { ...shared, lookUp: boundedLookUp(lookUpLink) };
  /** The last response of the fallback on each connection. */
  const underway = new WeakMap<object, ServerResponse>();

  /** False: the request is for neither a link nor a pixel. Never throws. */
  const handle = (request: TrackedRequest, reply: Reply): boolean => {
    const door = doorOf(request.target);
    try {
      if (door === 'o') answerOpen(parts, request, reply);
      else if (door === 'c') answerClick(parts, request, reply);
    } catch {
      reply(failedPage());
    }
    return door !== undefined;
  };
  const send = (res: ServerResponse, { status, headers, body, encoding }: Answer): void => {
    try {
      res.writeHead(status, closing ? [...headers, ...CLOSE] : headers);
      res.end(body, encoding);
    } catch {
      fail(res);
    }
  };
  const fail = (res: ServerResponse): void => {
    if (res.writableEnded) return;
    if (res.headersSent) {
      res.destroy();
      return;
    }
    for (const name of res.getHeaderNames()) res.removeHeader(name);
    send(res, failedPage());
  };
  const answer = (req: IncomingMessage, res: ServerResponse): void => {
    const { method = '', url: target = '', rawHeaders } = req;
    const request = { method, target, rawHeaders, peer: req.socket.remoteAddress ?? '' };
    if (handle(request, (answered) => send(res, answered))) return;
    if (asksTrackingHost(target, req.headers.host)) {
      send(res, notFoundPage());
      return;
    }
    if (req.headers.host === undefined && req.httpVersion === '1.1') {
      send(res, withoutHost());
      return;
    }
    if (closing) res.setHeader('Connection', 'close');
    underway.set(req.socket, res);
    fallback(req, res);
  };
  const receive = (req: IncomingMessage, res: ServerResponse): void => {
    // One request must not end the process and everybody else's with it.
    try {
      answer(req, res);
    } catch {
      fail(res);
    }
  };

  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: headersMs,
      requestTimeout: REQUEST_MS,
      // Looked at every 30 s by default, which would make ten seconds forty.
      connectionsCheckingInterval: headersMs / 10,
      requireHostHeader: false, // a link is answered without, and the others are refused by `answer`
    },
    receive,
  );
  server.on('checkExpectation', receive); // what is expected besides 100-continue may be ignored (RFC 9110 section 10.1.1)
  server.on('clientError', (error, socket: Socket) => refuseConnection(error, socket, underway.get(socket)));
  const lane = openLane({ server, handle, keepAliveMs: KEEP_ALIVE_MS, firstByteMs: headersMs });

  return {
    server,
    listen: (port, host) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => {
          server.off('error', reject);
          server.on('error', () => undefined); // a connection that could not be accepted: the next one may
          const address = server.address();
          resolve(typeof address === 'object' && address !== null ? address.port : port);
        });
      }),
    async close() {
      closing = true;
      lane.close();
      const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
      const force = setTimeout(() => {
        lane.destroy();
        server.closeAllConnections();
      }, CLOSE_MS);
      await new Promise((resolve) => server.close(resolve));
      clearInterval(sweep);
      clearTimeout(force);
    },
  };
}

/** Absolute forms, doubled slashes and escaped slashes come from proxies and mail gateways. */
const MANGLED = /^(?:https?:\/\/[^/]*)?\/+([co])(?:\/|%2f)/i;

function doorOf(target: string): string | undefined {
  if (target.startsWith('/o/')) return 'o';
  if (target.startsWith('/c/')) return 'c';
  return MANGLED.exec(target)?.[1]?.toLowerCase();
}
