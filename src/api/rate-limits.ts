// How often an application, and each of its grants, may ask this process.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RateLimits } from '../config.ts';
import { ApiError } from '../errors.ts';
import { readIdentifier } from '../grants/grants.ts';
import { appOf } from './http.ts';
import { makeTokenBuckets, type TokenBuckets } from './token-buckets.ts';

export type RateLimit = keyof RateLimits;

export interface RateLimiter {
  /** How many requests each limit has refused. */
  readonly refused: Readonly<Record<RateLimit, number>>;
  /** Throws a 429. Asked once the caller is known, and before the body is read; a request is counted where it passes. */
  readonly check: (request: FastifyRequest, reply: FastifyReply) => Promise<void>;
}

export interface RateLimiterDeps {
  readonly limits: RateLimits;
  /** The grant's id, or null where the application has none of this address. */
  readonly findGrantId: (app: number, email: string) => Promise<string | null>;
  /** Milliseconds of a clock that does not jump. */
  readonly now?: () => number;
}

/** So many grants, and so many addresses, are told apart: more than a process answers in a second. Some 10 MB at most. */
const MOST_BUCKETS = 10_000;
const MOST_ADDRESSES = 10_000;
const LONGEST_ADDRESS = 254;
/** So long an address is believed to mean the same grant: a look-up for each address and ten seconds. */
const ADDRESS_MS = 10_000;
const GRANT_PATHS = /^\/v3\/grants\/:identifier(\/|$)/;

/**
 * A grant has one bucket within its application, however the path names it. What names no grant, or one of another
 * application, counts for the application that asks and for nobody else.
 */
export function makeRateLimiter({ limits, findGrantId, now = () => performance.now() }: RateLimiterDeps): RateLimiter {
  const buckets = (perSecond: number): TokenBuckets | null =>
    perSecond === 0 ? null : makeTokenBuckets({ perSecond, most: MOST_BUCKETS, now });
  const application = buckets(limits.applicationRequestsPerSecond);
  const grant = buckets(limits.grantRequestsPerSecond);
  const uploads = buckets(limits.grantUploadsPerSecond);
  const refused = { applicationRequestsPerSecond: 0, grantRequestsPerSecond: 0, grantUploadsPerSecond: 0 };
  const idOf = rememberingIds(findGrantId, now);

  const grantOf = async (app: number, request: FastifyRequest): Promise<string | null> => {
    const identifier = grant === null && uploads === null ? null : identifierOf(request);
    const named = identifier === null ? null : readIdentifier(identifier);
    if (named === null) return null;
    if ('id' in named) return `${app} ${named.id}`;
    return named.email.length > LONGEST_ADDRESS ? null : `${app} ${await idOf(app, named.email)}`;
  };
  const refuseWhereEmpty = (asked: readonly Asked[], reply: FastifyReply): void => {
    for (const { limit, buckets, name } of asked) {
      const wait = buckets.wait(name);
      if (wait === 0) continue;
      refused[limit]++;
      reply.header('retry-after', String(Math.max(1, Math.ceil(wait / 1000))));
      throw new ApiError(429, 'api.rate_limit_error', 'Too many requests, please try again shortly.');
    }
  };

  return {
    refused,
    async check(request, reply) {
      const app = appOf(request);
      if (app === null) return;
      const ofApplication = askedOf('applicationRequestsPerSecond', application, String(app));
      refuseWhereEmpty(ofApplication, reply); // before anything is looked up
      const name = await grantOf(app, request);
      const ofGrant =
        name === null
          ? []
          : [
              ...askedOf('grantRequestsPerSecond', grant, name),
              ...(isUpload(request) ? askedOf('grantUploadsPerSecond', uploads, name) : []),
            ];
      const all = [...ofApplication, ...ofGrant];
      refuseWhereEmpty(all, reply); // the application again: others may have passed during the look-up
      // What is refused takes nothing: who hammers on one grant leaves the rest to the others of its application.
      for (const { buckets, name } of all) buckets.take(name);
    },
  };
}

interface Asked {
  readonly limit: RateLimit;
  readonly buckets: TokenBuckets;
  readonly name: string;
}

function askedOf(limit: RateLimit, buckets: TokenBuckets | null, name: string): readonly Asked[] {
  return buckets === null ? [] : [{ limit, buckets, name }];
}

function identifierOf(request: FastifyRequest): string | null {
  if (!GRANT_PATHS.test(request.routeOptions.url ?? '')) return null;
  const identifier: unknown = Reflect.get(Object(request.params), 'identifier');
  return typeof identifier === 'string' ? identifier : null;
}

function isUpload(request: FastifyRequest): boolean {
  return /^multipart\//i.test(request.headers['content-type'] ?? '');
}

/** The id behind an address, or the address itself where there is none or it cannot be looked up now. */
function rememberingIds(
  find: RateLimiterDeps['findGrantId'],
  now: () => number,
): (app: number, email: string) => Promise<string> {
  const known = new Map<string, { readonly until: number; readonly id: Promise<string> }>();
  return async (app, email) => {
    const name = `${app} ${email}`;
    const remembered = known.get(name);
    if (remembered !== undefined && remembered.until > now()) return await remembered.id;
    if (known.size >= MOST_ADDRESSES) known.clear();
    // Requests that come at once wait for one look-up. A lost database is the business of what is asked for.
    const id = find(app, email).then(
      (found) => found ?? email,
      () => email,
    );
    known.set(name, { until: now() + ADDRESS_MS, id });
    return await id;
  };
}
