// An authorisation server: access tokens for a refresh token (RFC 6749) and what they are worth (RFC 7662).
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

export interface TokenServer {
  readonly tokenUrl: string;
  /** Takes the access token appended to it. */
  readonly introspectionUrl: string;
  /** Access tokens handed out so far. */
  readonly issued: readonly string[];
  /** A refresh token for the mailbox of this address. */
  grant(email: string): string;
  /** No access token counts any more; refresh tokens stay. */
  forget(): void;
  /** Nothing counts any more. */
  revoke(): void;
  close(): Promise<void>;
}

export async function startTokenServer(): Promise<TokenServer> {
  const owners = new Map<string, string>();
  const active = new Map<string, string>();
  const issued: string[] = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const answer = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if (url.pathname === '/introspect') {
      const email = active.get(url.searchParams.get('token') ?? '');
      return answer(200, email === undefined ? { active: false } : { active: true, email });
    }
    let text = '';
    for await (const chunk of request) text += chunk;
    const form = new URLSearchParams(text);
    const email = owners.get(form.get('refresh_token') ?? '');
    if (form.get('grant_type') !== 'refresh_token' || email === undefined) {
      return answer(400, { error: 'invalid_grant', error_description: 'Token has been expired or revoked.' });
    }
    const token = `access-${randomUUID()}`;
    issued.push(token);
    active.set(token, email);
    return answer(200, { access_token: token, token_type: 'Bearer', expires_in: 3600 });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const origin = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    tokenUrl: `${origin}/token`,
    introspectionUrl: `${origin}/introspect?token=`,
    issued,
    grant(email) {
      const token = `refresh-${randomUUID()}`;
      owners.set(token, email);
      return token;
    },
    forget: () => active.clear(),
    revoke() {
      owners.clear();
      active.clear();
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
