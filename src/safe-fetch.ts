// The only way to a URL that a customer gave us.
import { isIP } from 'node:net';
import { Agent, buildConnector, type Dispatcher, errors } from 'undici';
import { Blocked, guardedLookUp } from './guarded-lookup.ts';
import { makeNames, NameError, type Names } from './names.ts';
import { type AddressPolicy, judgeAddress } from './public-address.ts';

declare const brand: unique symbol;
/** An http or https URL without credentials, as the WHATWG parser writes it. Its address is judged when it is dialled. */
export type PublicUrl = string & { readonly [brand]: 'PublicUrl' };

export type UrlProblem = { readonly problem: string };

export interface SafeRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
  /** For everything together: look-up, connection, TLS, headers and the last byte of the answer. */
  readonly deadlineMs: number;
  readonly maxAnswerBytes: number;
  /** Called when there is a connection and the request is written to it, never after `request` has resolved. */
  readonly onLeaving?: () => void;
}

export type FetchOutcome =
  /**
   * `ok` is any 2xx, `redirect` any 3xx (never followed), `status` any other; `too_large` was cut, whatever its status.
   * Only for an answer that came to its end, or to `maxAnswerBytes`: one that breaks off is `closed`, one that goes on
   * for too long `timeout`, whatever status it began with (RFC 9112 section 8).
   */
  | {
      readonly kind: 'ok' | 'redirect' | 'status' | 'too_large';
      readonly status: number;
      /** At most `maxAnswerBytes` of it. */
      readonly body: string;
      readonly retryAfter: string | null;
    }
  | {
      readonly kind: 'timeout' | 'refused' | 'dns' | 'tls' | 'blocked' | 'closed' | 'invalid_url';
      /** One sentence without a full stop. */
      readonly detail: string;
    };

export interface SafeFetch {
  /** Never rejects. */
  request(url: PublicUrl, request: SafeRequest): Promise<FetchOutcome>;
  close(): Promise<void>;
}

export interface SafeFetchDeps extends AddressPolicy {
  readonly names?: Names;
  /** Certificate authorities to trust instead of the usual ones, PEM. */
  readonly ca?: string;
}

const MAX_URL = 2048;
const CONNECT_MS = 10_000;
// Where the server names no time of its own. Gunicorn hangs up after 2 s, Node and Uvicorn after 5: reuse must not meet
// a closing socket, because a POST that may have arrived is never sent again within one request.
const KEEP_ALIVE_MS = 1_500;
// Of several addresses each but the last has so long to connect; 250 ms, the default, are too few for the other side of the earth.
const EACH_ADDRESS_MS = 1_500;
const MAX_HEADER_BYTES = 16_384;

/** Reads a URL as a customer wrote it. Judges the form, and an address that stands in it is judged when dialled. */
export function parsePublicUrl(text: string): PublicUrl | UrlProblem {
  if (text.length > MAX_URL) return { problem: `must not have more than ${MAX_URL} characters` };
  if (/[\p{Cc}\s\\]/u.test(text)) return { problem: 'must not contain spaces, control characters or backslashes' };
  if (!/^https?:\/\//i.test(text)) return { problem: 'must begin with https://' };
  if (!URL.canParse(text)) return { problem: 'is not a valid URL' };
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return { problem: 'must not contain a user name or password' };
  if (url.port === '0') return { problem: 'is not a valid URL' };
  url.hash = '';
  return url.href as PublicUrl;
}

/** Appends to the query as text, because `searchParams` would write the rest of it anew; name and value need no encoding. */
export function withParameter(url: PublicUrl, name: string, value: string): PublicUrl {
  return `${url}${url.includes('?') ? '&' : '?'}${name}=${value}` as PublicUrl;
}

export function makeSafeFetch(deps: SafeFetchDeps): SafeFetch {
  const names = deps.names ?? makeNames();
  const agent = new AnnouncingAgent({
    connect: guardedConnector(deps, names),
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: 30_000,
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: 0, // the one deadline rules
    bodyTimeout: 0,
  });
  return {
    async request(url, request) {
      const deadline = new AbortController();
      const progress: Progress = { status: null };
      let timer: NodeJS.Timeout | undefined;
      // Raced as well as signalled: while it connects, undici does not look at the signal.
      const late = new Promise<FetchOutcome>((resolve) => {
        timer = setTimeout(() => {
          deadline.abort();
          resolve({
            kind: 'timeout',
            detail: `no complete answer within ${request.deadlineMs / 1000} s`,
          });
        }, request.deadlineMs);
      });
      const answer = attempt(agent, url, request, deadline.signal, progress).catch((error: unknown) =>
        explain(error, progress),
      );
      const outcome = await Promise.race([answer, late]);
      clearTimeout(timer);
      return outcome;
    },
    close: () => agent.destroy(),
  };
}

interface Progress {
  /** As soon as the headers have come. */
  status: number | null;
}

/** Calls what a request carries as its `opaque` when it is written to a connection. */
class AnnouncingAgent extends Agent {
  override dispatch(options: Agent.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const onLeaving: unknown = Reflect.get(options, 'opaque');
    const { onConnect } = handler;
    if (typeof onLeaving === 'function' && onConnect !== undefined) {
      handler.onConnect = (abort) => {
        onConnect.call(handler, abort);
        onLeaving();
      };
    }
    return super.dispatch(options, handler);
  }
}

async function attempt(
  agent: Agent,
  url: PublicUrl,
  request: SafeRequest,
  signal: AbortSignal,
  progress: Progress,
): Promise<FetchOutcome> {
  const { origin, pathname, search } = new URL(url);
  const answer = await agent.request({
    origin,
    opaque: () => {
      if (!signal.aborted) request.onLeaving?.();
    },
    path: pathname + search,
    method: request.method,
    headers: request.headers,
    body: request.body ?? null,
    signal,
  });
  const status = answer.statusCode;
  progress.status = status;
  const { text, whole } = await (BODILESS.has(status)
    ? skip(answer.body)
    : readLimited(answer.body, request.maxAnswerBytes));
  const [retryAfter] = [answer.headers['retry-after']].flat();
  return { kind: whole ? kindOf(status) : 'too_large', status, body: text, retryAfter: retryAfter ?? null };
}

function kindOf(status: number): 'ok' | 'redirect' | 'status' {
  if (status >= 200 && status < 300) return 'ok';
  return status >= 300 && status < 400 ? 'redirect' : 'status';
}

interface Body {
  readonly text: string;
  readonly whole: boolean;
}

const BODILESS = new Set([204, 304]); // whatever length they give (RFC 9112 section 6.3)

async function skip(body: Dispatcher.ResponseData['body']): Promise<Body> {
  await body.dump().catch(() => {});
  return { text: '', whole: true };
}

async function readLimited(body: Dispatcher.ResponseData['body'], limit: number): Promise<Body> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    const bytes: Buffer = chunk;
    chunks.push(bytes);
    size += bytes.length;
    if (size > limit) break; // leaving the loop closes the connection
  }
  return { text: Buffer.concat(chunks).subarray(0, limit).toString('utf8'), whole: size <= limit };
}

/** Judges every address before it is dialled, and once more the one that was. */
function guardedConnector(deps: SafeFetchDeps, names: Names): buildConnector.connector {
  const common = {
    timeout: CONNECT_MS,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: EACH_ADDRESS_MS,
    ...(deps.ca === undefined ? {} : { ca: deps.ca }),
  };
  const connectors = {
    'http:': buildConnector({
      ...common,
      lookup: guardedLookUp(names, (address) => problemOf(deps, 'http:', address)),
    }),
    'https:': buildConnector({
      ...common,
      lookup: guardedLookUp(names, (address) => problemOf(deps, 'https:', address)),
    }),
  };
  return (options, callback) => {
    const protocol = options.protocol === 'https:' ? 'https:' : 'http:';
    const literal = options.hostname.replace(/^\[|\]$/g, '');
    const problem = isIP(literal) === 0 ? null : problemOf(deps, protocol, literal);
    if (problem !== null) {
      queueMicrotask(() => callback(problem, null));
      return;
    }
    connectors[protocol](options, (...[error, socket]) => {
      if (error !== null) return callback(isCut(error) && protocol === 'https:' ? new HandshakeCut() : error, null);
      const late = problemOf(deps, protocol, socket.remoteAddress ?? '');
      if (late === null) return callback(null, socket);
      socket.destroy();
      callback(late, null);
    });
  };
}

/** Once a connection was made, and before it could be spoken in. */
class HandshakeCut extends Error {}

function isCut(error: Error): boolean {
  return Reflect.get(error, 'code') === 'ECONNRESET';
}

function problemOf(policy: AddressPolicy, protocol: 'http:' | 'https:', address: string): Blocked | null {
  const verdict = judgeAddress(policy, address);
  if (verdict.kind === 'blocked') return new Blocked(`the host leads to ${verdict.reason}`);
  if (verdict.kind === 'public' && protocol === 'http:') return new Blocked('a public host must be reached by https');
  return null;
}

const UNREACHABLE = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN', 'EADDRNOTAVAIL']);
const CERTIFICATE = /^(CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO)/;

function explain(error: unknown, progress: Progress): FetchOutcome {
  if (error instanceof Blocked) return { kind: 'blocked', detail: error.message };
  if (error instanceof NameError) return { kind: 'dns', detail: error.message };
  if (error instanceof HandshakeCut) return { kind: 'tls', detail: 'the connection ended in the TLS handshake' };
  const code = String(Reflect.get(Object(error), 'code') ?? '');
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return { kind: 'timeout', detail: 'no connection' };
  if (UNREACHABLE.has(code)) return { kind: 'refused', detail: `the host cannot be reached (${code})` };
  if (CERTIFICATE.test(code)) return { kind: 'tls', detail: `no TLS connection (${code})` };
  if (code === 'UND_ERR_INVALID_ARG') return { kind: 'invalid_url', detail: 'the URL cannot be requested' };
  if (code === 'UND_ERR_HEADERS_OVERFLOW') {
    return { kind: 'closed', detail: `the answer has more than ${MAX_HEADER_BYTES} bytes of headers` };
  }
  const reason = code === '' ? '' : ` (${code})`;
  if (progress.status !== null) return { kind: 'closed', detail: `the answer broke off${so(progress)}${reason}` };
  const isSpeech = error instanceof errors.HTTPParserError || code === 'ERR_ASSERTION' || isBadResponse(error);
  if (isSpeech) return { kind: 'closed', detail: `what was answered is not what HTTP allows here${reason}` };
  return { kind: 'closed', detail: `the connection ended before the answer${reason}` };
}

/** Such as a 100 that nobody asked for, or a 101. */
function isBadResponse(error: unknown): boolean {
  return error instanceof errors.SocketError && /^bad /.test(error.message);
}

/** How far it had come, for people. */
function so({ status }: Progress): string {
  return status === null ? '' : `, after status ${status}`;
}
