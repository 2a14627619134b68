import { inTime, OutOfTime, TOO_LATE } from './in-time.ts';
import type { AccessTokens, TokenOutcome, TokenProblem } from './oauth.ts';
import type { ImapCredentials, MailServer, OAuthLogin, Renewed } from './provider.ts';

/** What a user logs in with: the server's password, or an access token for XOAUTH2. */
export type Auth = { readonly password: string } | { readonly accessToken: string };

export interface Call<O> {
  act(authFor: (server: MailServer) => Auth): Promise<O>;
  /** Whether a server refused the login, before it did anything. */
  isRefusal(outcome: O): boolean;
  failed(problem: TokenProblem): O;
}

/**
 * Makes a call with what the credentials hold. An access token is got first where there is none that is good; one
 * that is refused all the same is renewed, and the call made once more.
 */
export async function withLogin<O extends object>(
  tokens: AccessTokens,
  credentials: ImapCredentials,
  signal: AbortSignal,
  call: Call<O>,
): Promise<O & Renewed<ImapCredentials>> {
  const { oauth } = credentials;
  if (oauth === undefined) return call.act(({ password = '' }) => ({ password }));
  const first = await attempt(tokens, oauth, null, signal, call);
  if (!first.refused) return withRenewed(credentials, oauth, first.login, first.outcome);
  const second = await attempt(tokens, first.login, first.login.accessToken, signal, call);
  // An exchanged refresh token would be lost if it were only handed on with success.
  return withRenewed(credentials, oauth, second.login, second.outcome);
}

interface Attempt<O> {
  readonly outcome: O;
  /** As far as it was renewed. */
  readonly login: OAuthLogin;
  readonly refused: boolean;
}

async function attempt<O>(
  tokens: AccessTokens,
  login: OAuthLogin,
  refusedToken: string | null,
  signal: AbortSignal,
  call: Call<O>,
): Promise<Attempt<O>> {
  const got = await tokenInTime(tokens, login, refusedToken, signal);
  if (got.kind !== 'token') return { outcome: call.failed(got), login, refused: false };
  const { accessToken } = got.login;
  const outcome = await call.act(() => ({ accessToken }));
  return { outcome, login: got.login, refused: call.isRefusal(outcome) };
}

async function tokenInTime(
  tokens: AccessTokens,
  login: OAuthLogin,
  refusedToken: string | null,
  signal: AbortSignal,
): Promise<TokenOutcome> {
  try {
    return await inTime(signal, tokens.get(login, refusedToken));
  } catch (error) {
    if (error instanceof OutOfTime) return TOO_LATE;
    throw error;
  }
}

function withRenewed<O extends object>(
  credentials: ImapCredentials,
  before: OAuthLogin,
  after: OAuthLogin,
  outcome: O,
): O & Renewed<ImapCredentials> {
  const same = before.accessToken === after.accessToken && before.refreshToken === after.refreshToken;
  return same ? outcome : { ...outcome, renewed: { ...credentials, oauth: after } };
}
