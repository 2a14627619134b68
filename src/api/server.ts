// The API's HTTP server without a socket: the edge owns the port and hands over what is not a hit.
import { randomUUID } from 'node:crypto';
import { type FastifyReply, type FastifyRequest, fastify, type RouteHandlerMethod } from 'fastify';
import { type Query, retrying } from '../db/pool.ts';
import { ApiError } from '../errors.ts';
import { makeAuthenticator } from '../grants/keys.ts';
import { makeSessions, type SessionKeys } from '../grants/sign-in.ts';
import type { Log } from '../log.ts';
import { makeGuard } from './auth.ts';
import { checkBounds, parseJson, withoutNulls } from './body-bounds.ts';
import { drain } from './drain.ts';
import { appOf, type Http, type Routes } from './http.ts';
import { describeRoutes } from './openapi.ts';
import { openApiRoutes } from './openapi-routes.ts';
import type { RateLimiter } from './rate-limits.ts';
import { BODY_LIMIT, errorBody, JSON_TYPE, refusalOf } from './respond.ts';
import { makeRouteMap } from './route-map.ts';
import { signInRoutes } from './sign-in.ts';
import { schemaProblem } from './validation.ts';

export interface ApiDeps {
  readonly sql: Query;
  readonly log: Log;
  readonly ring: SessionKeys;
  /** An origin, such as https://mail.example.com. */
  readonly publicUrl: string;
  /** Not given: nobody is limited. */
  readonly limiter?: Pick<RateLimiter, 'check'>;
  /** Unix milliseconds. */
  readonly now?: () => number;
}

/** Longer than any identifier in a path: an address has 254 characters, three times that percent-encoded. */
const LONGEST_PARAMETER = 1024;
/** A restart of the embedded server takes half a second to two. */
const RESTART_MS = 5000;

/**
 * The whole API. After `await http.ready()`, `http.routing(request, response)` serves one request of node:http;
 * `http.inject` does in tests. Routes below /v3 need an API key, those below /practice that or the operator's session.
 */
export function createApi(deps: ApiDeps & { readonly routes: readonly Routes[] }): Http {
  const { log } = deps;
  const secure = deps.publicUrl.startsWith('https:');
  const sessions = makeSessions({ ring: deps.ring, secure, ...(deps.now ? { now: deps.now } : {}) });
  const http = fastify({
    logger: false,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    bodyLimit: BODY_LIMIT,
    return503OnClosing: false, // whoever owns the sockets drains them
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: LONGEST_PARAMETER },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: true, allErrors: true } },
    schemaErrorFormatter: schemaProblem,
    frameworkErrors: (error, request, reply) => refuse(log, error, request, reply),
  });
  const authenticate = makeAuthenticator({ sql: deps.sql });
  const routeMap = makeRouteMap();
  const notFound = (request: FastifyRequest, reply: FastifyReply): never => {
    const allowed = routeMap.methodsFor(request.url);
    if (allowed.length === 0) throw new ApiError(404, 'api.not_found_error', 'Resource not found.');
    reply.header('allow', allowed.join(', '));
    throw new ApiError(
      405,
      'api.invalid_request_error',
      `${request.method} is not possible here, only ${allowed.join(', ')}.`,
    );
  };

  http.addHook('onRoute', (route) => {
    routeMap.add([route.method].flat(), route.url);
    if (route.method === 'GET' && route.url.startsWith('/v3/')) route.handler = throughRestarts(route.handler);
  });
  http.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    // Before the body is read: nobody without a key can have three megabytes parsed by naming a path that is none.
    if (request.is404) notFound(request, reply);
  });
  http.addHook(
    'onRequest',
    makeGuard({
      authenticate: (key) => retrying(() => authenticate(key), RESTART_MS),
      sessions,
      publicUrl: deps.publicUrl,
    }),
  );
  const { limiter } = deps;
  if (limiter !== undefined) http.addHook('onRequest', async (request, reply) => await limiter.check(request, reply));
  acceptJson(http);
  http.addHook('onSend', async (_request, reply, payload) => {
    if (isJson(reply)) reply.header('content-type', JSON_TYPE);
    return payload;
  });
  http.addHook('onResponse', async (request, reply) => {
    log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 10) / 10,
        request_id: request.id,
        app: appOf(request),
      },
      'request.served',
    );
  });
  http.addHook('onRequestAbort', async (request) => {
    log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        request_id: request.id,
        app: appOf(request),
      },
      'request.aborted',
    );
  });
  http.setErrorHandler((error, request, reply) => refuse(log, error, request, reply));
  http.setNotFoundHandler(notFound);

  const { publicUrl } = deps;
  describeRoutes(http, publicUrl);
  const own = [signInRoutes({ sql: deps.sql, sessions, publicUrl }), openApiRoutes({ publicUrl })];
  for (const routes of [...own, ...deps.routes]) {
    http.register(async (scope) => routes(scope));
  }
  return http;
}

/** A read that meets a database which is being restarted waits for it a little instead of failing. */
function throughRestarts(handler: RouteHandlerMethod): RouteHandlerMethod {
  return function (request, reply) {
    return retrying(async () => handler.call(this, request, reply), RESTART_MS);
  };
}

/**
 * JSON bodies in strict UTF-8 and within bounds. No body at all counts as {}: the Java and Ruby SDKs send an empty one
 * under a JSON Content-Type (contract 5.4).
 */
function acceptJson(http: Http): void {
  http.removeContentTypeParser(['application/json', 'text/plain']);
  http.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: FastifyRequest, body: Buffer) =>
    parseJson(body),
  );
  http.addHook('preValidation', async (request) => {
    if (request.body === undefined && HAS_BODY.has(request.method)) request.body = {};
    checkBounds(request.body, request.routeOptions.config.nulAllowedIn);
    request.body = withoutNulls(request.body);
  });
}

const HAS_BODY = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

function refuse(log: Log, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const refusal = refusalOf(error);
  // What a mail provider did is told where it happened.
  if (refusal.status >= 500 && refusal.type !== 'api.provider_error') {
    const level = refusal.status === 503 ? 'warn' : 'error';
    log[level](
      { request_id: request.id, route: request.routeOptions.url ?? null, ...causeOf(error) },
      'request.failed',
    );
  }
  // Fastify hangs up on a body that is too large while the caller still writes it: some would see a reset, not the answer.
  reply.removeHeader('connection');
  // Bytes, not an object: Fastify leaves their Content-Type alone, also where it runs no hooks (a malformed path).
  const answer = Buffer.from(JSON.stringify(errorBody(request, refusal)));
  reply.code(refusal.status).headers({ 'x-request-id': request.id, ...refusal.headers, 'content-type': JSON_TYPE });
  drain(request.raw, reply.raw).then(() => reply.send(answer));
}

/** No `detail` and no parameters of a database error: they quote rows. */
function causeOf(error: unknown): object {
  if (!(error instanceof Error)) return { error: typeof error };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { error: error.message, ...code, stack: error.stack };
}

function isJson(reply: FastifyReply): boolean {
  const type = reply.getHeader('content-type');
  return typeof type === 'string' && /^application\/json\b/.test(type);
}
