import { setTimeout as delay } from 'node:timers/promises';
import { inTime, OutOfTime, TOO_LATE } from './in-time.ts';
import type { AccessTokens, TokenOutcome, TokenProblem } from './oauth.ts';
import type { Access, ImapCredentials, MailServer, OAuthLogin } from './provider.ts';
import type { Auth } from './secrets-said.ts';

export interface LoginDeps {
  readonly tokens: AccessTokens;
  readonly lookAgainMs?: number;
}

export interface Call<O> {
  act(credentials: ImapCredentials, authFor: (server: MailServer) => Auth): Promise<O>;
  /** Whether a server refused the login, before it did anything. */
  isRefusal(outcome: O): boolean;
  failed(problem: TokenProblem): O;
}

/** For another process, which exchanged the refresh token, to keep what it got. */
const LOOK_AGAIN_MS = 2_000;
/** Six seconds in all: an exchange rarely takes longer, and the caller waits. */
const LOOKS = 3;

/**
 * Makes a call with what the credentials hold. An access token is got first where there is none that is good; one
 * that is refused all the same is renewed, and the call made once more. Where the refresh token is refused, the call is
 * made with the credentials that are kept by then, if they are others: a token may be good for one exchange, and another
 * process may have had it.
 */
export async function withLogin<O>(
  deps: LoginDeps,
  access: Access<ImapCredentials>,
  signal: AbortSignal,
  call: Call<O>,
): Promise<O> {
  const run = { tokens: deps.tokens, access, signal, call };
  const first = await attempt(run, access.credentials);
  if (first.refused === null) return first.outcome;
  const kept = await keptMeanwhile(run, first.refused, deps.lookAgainMs ?? LOOK_AGAIN_MS);
  if (kept.kind === 'same') return first.outcome;
  if (kept.kind === 'unreachable') return call.failed(kept);
  return (await attempt(run, kept.credentials)).outcome;
}

interface Run<O> {
  readonly tokens: AccessTokens;
  readonly access: Access<ImapCredentials>;
  readonly signal: AbortSignal;
  readonly call: Call<O>;
}

interface Attempt<O> {
  readonly outcome: O;
  /** The login whose refresh token was refused. */
  readonly refused: OAuthLogin | null;
}

async function attempt<O>(run: Run<O>, credentials: ImapCredentials): Promise<Attempt<O>> {
  const { call } = run;
  if (credentials.oauth === undefined) {
    return { outcome: await call.act(credentials, ({ password = '' }) => ({ password })), refused: null };
  }
  let login = credentials.oauth;
  let refusedToken: string | null = null;
  for (;;) {
    const got: TokenOutcome = await tokenInTime(run, credentials, login, refusedToken);
    if (got.kind !== 'token') {
      return { outcome: call.failed(got), refused: got.kind === 'unauthorised' ? login : null };
    }
    const accessToken: string = got.login.accessToken;
    const outcome = await call.act(credentials, () => ({ accessToken }));
    if (refusedToken !== null || !call.isRefusal(outcome)) return { outcome, refused: null };
    login = got.login;
    refusedToken = accessToken;
  }
}

/** An exchange goes on when the time is over, and what it gives is kept. */
async function tokenInTime<O>(
  { tokens, access, signal }: Run<O>,
  credentials: ImapCredentials,
  login: OAuthLogin,
  refusedToken: string | null,
): Promise<TokenOutcome> {
  if (signal.aborted) return TOO_LATE;
  const keep = (before: OAuthLogin, renewed: OAuthLogin): Promise<void> =>
    access.keep({ ...credentials, oauth: before }, { ...credentials, oauth: renewed });
  try {
    return await inTime(signal, tokens.get(login, refusedToken, keep));
  } catch (error) {
    if (error instanceof OutOfTime) return TOO_LATE;
    throw error;
  }
}

type Kept =
  | { readonly kind: 'same' }
  | { readonly kind: 'others'; readonly credentials: ImapCredentials }
  | { readonly kind: 'unreachable'; readonly reason: string };

async function keptMeanwhile<O>(
  { tokens, access, signal }: Run<O>,
  refused: OAuthLogin,
  lookAgainMs: number,
): Promise<Kept> {
  try {
    for (const wait of [0, ...Array.from({ length: LOOKS }, () => lookAgainMs)]) {
      if (wait > 0) await inTime(signal, delay(wait, null, { signal }));
      const credentials = await inTime(signal, access.reread());
      if (credentials === null) break;
      const others = credentials.oauth === undefined || !tokens.isSame(credentials.oauth, refused);
      if (others) return { kind: 'others', credentials };
    }
    return { kind: 'same' };
  } catch (error) {
    return error instanceof OutOfTime ? TOO_LATE : UNREAD;
  }
}

const UNREAD = {
  kind: 'unreachable',
  reason: 'the refresh token was refused, and whether there is another one by now could not be read',
} as const;
