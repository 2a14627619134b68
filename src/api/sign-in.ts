import type { Query } from '../db/pool.ts';
import { type Sessions, useSignInToken } from '../grants/sign-in.ts';
import { requireOwnHost } from './auth.ts';
import type { Routes } from './http.ts';
import { sendPage, staleTokenPage } from './pages.ts';
import { readQuery, text } from './query.ts';

export interface SignInDeps {
  readonly sql: Query;
  readonly sessions: Sessions;
  readonly publicUrl: string;
}

const AFTER_SIGN_IN = '/practice';
const SIGN_IN = { token: text('Signs in once') };

/** GET /sign-in?token=…: the one-time address that the start and `telltale sign-in` print. */
export function signInRoutes({ sql, sessions, publicUrl }: SignInDeps): Routes {
  return (http) => {
    http.get('/', async (_request, reply) => reply.redirect(AFTER_SIGN_IN, 303));
    // No HEAD: a link checker must not use the token up.
    http.get('/sign-in', { exposeHeadRoute: false }, async (request, reply) => {
      requireOwnHost(publicUrl, request);
      const token = readQuery(request, SIGN_IN).token;
      const fresh = token !== undefined && (await useSignInToken(sql, token));
      if (!fresh && !sessions.isOpen(request.headers.cookie)) return await sendPage(reply, 403, staleTokenPage());
      if (fresh) reply.header('set-cookie', sessions.open());
      return await reply
        .headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
        .redirect(AFTER_SIGN_IN, 303);
    });
  };
}
