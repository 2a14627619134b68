// Who may ask: an application's API key below /v3; below /practice that or the operator's session.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../errors.ts';
import type { Authenticate } from '../grants/keys.ts';
import type { Sessions } from '../grants/sign-in.ts';
import { remember } from './http.ts';
import { sendPage, signInPage } from './pages.ts';

export interface GuardDeps {
  readonly authenticate: Authenticate;
  readonly sessions: Pick<Sessions, 'isOpen'>;
  /** An origin, such as https://mail.example.com. */
  readonly publicUrl: string;
}

export type Guard = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>;

/**
 * The guard of every route, by its pattern and not by the path asked for: an oddly encoded path cannot step around it.
 * Unknown paths match no pattern and need no key to be told so.
 */
export function makeGuard(deps: GuardDeps): Guard {
  return async (request, reply) => {
    const pattern = request.routeOptions.url ?? '';
    if (isBelow(pattern, '/v3')) await requireKey(deps, request);
    else if (isBelow(pattern, '/practice')) return await requireOperatorOrKey(deps, request, reply);
    return undefined;
  };
}

/** Refuses a foreign Host: a page that a browser sees must not be reachable under a name that someone else controls. */
export function requireOwnHost(publicUrl: string, request: FastifyRequest): void {
  const host = (request.headers.host ?? '').toLowerCase();
  if (host === new URL(publicUrl).host || LOOPBACK_HOST.test(host)) return;
  throw new ApiError(403, 'api.authentication_error', `This page is served under ${publicUrl} only.`);
}

const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/;

async function requireKey(deps: GuardDeps, request: FastifyRequest): Promise<void> {
  const key = bearer(request);
  if (key === null) {
    throw new ApiError(
      401,
      'api.authentication_error',
      'Unauthorized: send your API key as "Authorization: Bearer <API key>".',
    );
  }
  const holder = await deps.authenticate(key);
  if (holder === null) {
    throw new ApiError(401, 'api.authentication_error', 'Unauthorized: this API key is unknown or was revoked.');
  }
  remember(request, holder);
}

async function requireOperatorOrKey(
  deps: GuardDeps,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply | undefined> {
  // Another scheme is the business of a proxy in front of us.
  if (bearer(request) !== null) {
    await requireKey(deps, request);
    return undefined;
  }
  requireOwnHost(deps.publicUrl, request);
  if (!deps.sessions.isOpen(request.headers.cookie)) {
    if (request.headers.accept?.includes('text/html')) return await sendPage(reply, 401, signInPage());
    throw new ApiError(401, 'api.authentication_error', 'Unauthorized: sign in, or send an API key.');
  }
  if (!isRead(request.method)) requireSameOrigin(request);
  remember(request, 'operator');
  return undefined;
}

/** The Host is known to be ours by now. SameSite alone would let in a page on another port of the same machine. */
function requireSameOrigin(request: FastifyRequest): void {
  const site = request.headers['sec-fetch-site'];
  const { origin } = request.headers;
  const same =
    site === undefined
      ? origin !== undefined && URL.canParse(origin) && new URL(origin).host === request.headers.host?.toLowerCase()
      : site === 'same-origin';
  if (!same) throw new ApiError(403, 'api.authentication_error', 'Only this page itself may change something here.');
}

function bearer(request: FastifyRequest): string | null {
  return /^bearer +([^\s]+) *$/i.exec(request.headers.authorization ?? '')?.[1] ?? null;
}

function isBelow(pattern: string, root: string): boolean {
  return pattern === root || pattern.startsWith(`${root}/`);
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}
