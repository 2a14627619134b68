// A token endpoint (RFC 6749 section 6) on a free loopback port.
import { createServer, type ServerResponse } from 'node:http';
import type { OAuthLogin } from '../../src/providers/provider.ts';

export interface TokenEndpoint {
  /** A login with a refresh token that is good now, and no access token yet. */
  login(): OAuthLogin;
  /** The forms it was sent so far. */
  readonly asked: readonly URLSearchParams[];
  /** The access token that was given last. */
  readonly given: string;
  /** Told of every access token before it is given. */
  onToken: (accessToken: string) => void;
  /** Answers instead of it; without an answer the request hangs. */
  answer: ((response: ServerResponse) => void) | null;
  /** From now on no refresh token is good. */
  revoke(): void;
  close(): Promise<void>;
}

const CLIENT = { clientId: 'client', clientSecret: 'client-secret' };

/** `rotates`: each refresh token is good for one exchange. */
export async function startTokenEndpoint({ rotates = false, lifetime = 3600 } = {}): Promise<TokenEndpoint> {
  const asked: URLSearchParams[] = [];
  let good = 'refresh-0';
  let count = 0;
  const endpoint: { -readonly [Key in 'onToken' | 'answer' | 'given']: TokenEndpoint[Key] } = {
    onToken() {},
    answer: null,
    given: '',
  };

  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    asked.push(form);
    if (endpoint.answer !== null) return endpoint.answer(response);
    const known = form.get('client_id') === CLIENT.clientId && form.get('client_secret') === CLIENT.clientSecret;
    if (!known) return send(response, 401, { error: 'invalid_client' });
    if (form.get('grant_type') !== 'refresh_token' || form.get('refresh_token') !== good) {
      return send(response, 400, { error: 'invalid_grant' });
    }
    count++;
    if (rotates) good = `refresh-${count}`;
    endpoint.given = `access-${count}`;
    endpoint.onToken(endpoint.given);
    send(response, 200, {
      access_token: endpoint.given,
      token_type: 'Bearer',
      expires_in: lifetime,
      ...(rotates && { refresh_token: good }),
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return Object.assign(endpoint, {
    asked,
    login: () => ({
      ...CLIENT,
      tokenUrl: `http://127.0.0.1:${port}/token`,
      refreshToken: good,
      accessToken: '',
      expiresAt: 0,
    }),
    revoke() {
      good = '';
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  });
}

function send(response: ServerResponse, status: number, answer: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(answer));
}
