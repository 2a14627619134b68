// Access tokens for XOAUTH2 by refresh token (RFC 6749 section 6), from the endpoint that the grant names.
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type FetchOutcome, parsePublicUrl, type SafeFetch } from '../safe-fetch.ts';
import type { CheckProblem, OAuthLogin } from './provider.ts';

export type TokenOutcome =
  /** `login` holds the token; it is another one than was given in where the token or the refresh token was renewed. */
  { readonly kind: 'token'; readonly login: OAuthLogin } | TokenProblem;

export interface TokenProblem {
  readonly kind: Exclude<CheckProblem['kind'], 'certificate'>;
  readonly reason: string;
}

export interface AccessTokens {
  /**
   * A token that is good for a while yet; `refused` is one that a server would not take although it should be.
   * Callers who come at the same time, or with a refresh token that was exchanged meanwhile, get the same one.
   * What is not as `login` says was kept when this resolves, also where nobody waits for it any more.
   */
  get(login: OAuthLogin, refused: string | null, keep: Keep): Promise<TokenOutcome>;
  /** Whether both have the same refresh token, exchanges by this process included. */
  isSame(one: OAuthLogin, other: OAuthLogin): boolean;
  /** Waits for the exchanges that go on, a second at most. */
  close(): Promise<void>;
}

/** As that of the port's `Access`. */
export type Keep = (before: OAuthLogin, renewed: OAuthLogin) => Promise<void>;

export interface AccessTokensDeps {
  readonly safeFetch: Pick<SafeFetch, 'request'>;
  readonly now?: () => number;
}

const GOOD_FOR_MS = 20_000;
const DEADLINE_MS = 15_000;
const CLOSE_MS = 1_000;
const MOST_BYTES = 65_536;
const MOST_REMEMBERED = 1_000;
/** Where the answer does not say: short, as a refused one is renewed anyway. */
const USUAL_SECONDS = 600;
const LONGEST_SECONDS = 86_400;
const LONGEST_TOKEN = 16_384;

export function makeAccessTokens(deps: AccessTokensDeps): AccessTokens {
  const now = deps.now ?? Date.now;
  const underWay = new Map<string, Promise<TokenOutcome>>();
  /** What a login was exchanged for. An exchanged refresh token must not be shown again: some endpoints take that for theft. */
  const successors = new Map<string, OAuthLogin>();

  const newest = (given: OAuthLogin): OAuthLogin => {
    let login = given;
    for (let hops = 0; hops < MOST_REMEMBERED; hops++) {
      const next = successors.get(keyOf(login));
      if (next === undefined || next === login) return login;
      if (next.refreshToken === login.refreshToken) return next.expiresAt > login.expiresAt ? next : login;
      login = next;
    }
    return login;
  };

  const renew = async (login: OAuthLogin, key: string, keep: Keep): Promise<TokenOutcome> => {
    const outcome = await request(deps.safeFetch, login, now);
    if (outcome.kind === 'token') {
      successors.delete(key);
      successors.set(key, outcome.login);
      const [oldest] = successors.keys();
      if (successors.size > MOST_REMEMBERED && oldest !== undefined) successors.delete(oldest);
      await keep(login, outcome.login);
    }
    return outcome;
  };

  return {
    async get(given, refused, keep) {
      const login = newest(given);
      const good = login.accessToken !== '' && login.expiresAt > now() + GOOD_FOR_MS;
      if (good && login.accessToken !== refused) {
        if (login !== given) await keep(given, login); // whoever exchanged it may have kept it for another grant
        return { kind: 'token', login };
      }
      const key = keyOf(login);
      const others = underWay.get(key);
      const mine = others ?? renew(login, key, keep).finally(() => underWay.delete(key));
      underWay.set(key, mine);
      const outcome = await mine;
      const kept = others === undefined && login === given;
      if (outcome.kind === 'token' && !kept) await keep(given, outcome.login);
      return outcome;
    },

    isSame: (one, other) => keyOf(newest(one)) === keyOf(newest(other)),

    async close() {
      const ended = Promise.allSettled(underWay.values());
      await Promise.race([ended, delay(CLOSE_MS, null, { ref: false })]);
    },
  };
}

/** Everything that has to be known to get a token: who knows less must not get one that others got. */
function keyOf({ tokenUrl, clientId, clientSecret, refreshToken }: OAuthLogin): string {
  const parts = JSON.stringify([tokenUrl, clientId, clientSecret, refreshToken]);
  return createHash('sha256').update(parts).digest('base64');
}

async function request(
  safeFetch: Pick<SafeFetch, 'request'>,
  login: OAuthLogin,
  now: () => number,
): Promise<TokenOutcome> {
  const url = parsePublicUrl(login.tokenUrl);
  if (typeof url !== 'string') return { kind: 'unusable', reason: `the token URL ${url.problem}` };
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: login.refreshToken,
    client_id: login.clientId,
    ...(login.clientSecret !== '' && { client_secret: login.clientSecret }),
  });
  const asked = now();
  const answer = await safeFetch.request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    body: form.toString(),
    deadlineMs: DEADLINE_MS,
    maxAnswerBytes: MOST_BYTES,
  });
  return outcomeOf(login, answer, asked);
}

/**
 * Errors that end the grant until somebody signs in again (RFC 6749 section 5.2, OpenID Connect Core section 3.1.2.6,
 * Google, Microsoft). Any other one, and any page of a firewall, may have gone later.
 */
const LOST = new Set([
  ...['invalid_grant', 'invalid_client', 'unauthorized_client', 'access_denied'],
  ...['interaction_required', 'login_required', 'consent_required', 'account_selection_required'],
  ...['deleted_client', 'disabled_client', 'admin_policy_enforced'],
]);
const REFUSALS = [400, 401, 403];

function outcomeOf(login: OAuthLogin, answer: FetchOutcome, asked: number): TokenOutcome {
  switch (answer.kind) {
    case 'ok':
      return tokenOf(login, parse(answer.body), asked);
    case 'blocked':
      return { kind: 'blocked', reason: `the token endpoint may not be asked: ${answer.detail}` };
    case 'status': {
      const code = parse(answer.body).get('error');
      if (typeof code === 'string' && LOST.has(code) && REFUSALS.includes(answer.status)) {
        return { kind: 'unauthorised', reason: `the token endpoint refused the refresh token (${code})` };
      }
      const said = typeof code === 'string' && /^[\w.-]{1,64}$/.test(code) ? ` (${code})` : '';
      return unreachable(`answered ${answer.status}${said}`);
    }
    case 'redirect':
      return unreachable('answered with a redirect, which is not followed');
    case 'too_large':
      return unreachable('answered too much');
    default:
      return unreachable(`gave no answer: ${answer.detail}`);
  }
}

function tokenOf(login: OAuthLogin, answer: ReadonlyMap<string, unknown>, asked: number): TokenOutcome {
  const accessToken = answer.get('access_token');
  if (!isToken(accessToken)) return unreachable('answered without an access token');
  const type = answer.get('token_type');
  if (typeof type === 'string' && type.toLowerCase() !== 'bearer') {
    return { kind: 'unusable', reason: 'the token endpoint gives no bearer tokens' };
  }
  const rotated = answer.get('refresh_token');
  const seconds = Number(answer.get('expires_in') ?? USUAL_SECONDS);
  const lifetime = Math.min(seconds > 0 ? seconds : USUAL_SECONDS, LONGEST_SECONDS);
  return {
    kind: 'token',
    login: {
      ...login,
      refreshToken: isToken(rotated) ? rotated : login.refreshToken,
      accessToken,
      expiresAt: asked + lifetime * 1000,
    },
  };
}

/** Visible ASCII (RFC 6749 appendix A), as it is written between control characters in XOAUTH2. */
function isToken(value: unknown): value is string {
  return typeof value === 'string' && value.length <= LONGEST_TOKEN && /^[\x21-\x7e]+$/.test(value);
}

function unreachable(what: string): TokenOutcome {
  return { kind: 'unreachable', reason: `the token endpoint ${what}` };
}

/** The members of a JSON object; none for any other text. */
function parse(body: string): ReadonlyMap<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);
  } catch {
    return new Map();
  }
}
