import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { startTokenEndpoint, type TokenEndpoint } from '../../test/support/token-endpoint.ts';
import { parseRanges } from '../addresses.ts';
import { makeSafeFetch } from '../safe-fetch.ts';
import { type Keep, makeAccessTokens, type TokenOutcome } from './oauth.ts';
import type { OAuthLogin } from './provider.ts';

describe('access tokens', () => {
  const safeFetch = makeSafeFetch({ allowLoopback: true, allowPrivateTargets: parseRanges('') });
  let endpoint: TokenEndpoint;
  let rotating: TokenEndpoint;
  before(async () => {
    endpoint = await startTokenEndpoint();
    rotating = await startTokenEndpoint({ rotates: true });
  });
  afterEach(() => {
    endpoint.answer = null;
  });
  after(async () => {
    await safeFetch.close();
    await Promise.all([endpoint.close(), rotating.close()]);
  });

  const tokens = (now = Date.now): ReturnType<typeof makeAccessTokens> => makeAccessTokens({ safeFetch, now });
  const forget = async (): Promise<void> => {};
  const loginOf = (outcome: TokenOutcome): OAuthLogin => {
    assert.equal(outcome.kind, 'token');
    return outcome.login;
  };

  it('are got once, and kept until shortly before they end', async () => {
    let time = Date.now();
    const at = tokens(() => time);
    const asked = endpoint.asked.length;
    const given = endpoint.login();
    const first = loginOf(await at.get(given, null, forget));
    assert.equal(first.accessToken, endpoint.given);
    assert.equal(first.expiresAt, time + 3_600_000);
    time += 3_579_000;
    assert.equal(loginOf(await at.get(first, null, forget)), first);
    // Also for who was not told yet.
    assert.equal(loginOf(await at.get(given, null, forget)).accessToken, first.accessToken);
    assert.equal(endpoint.asked.length, asked + 1);
    time += 2_000;
    assert.notEqual(loginOf(await at.get(first, null, forget)).accessToken, first.accessToken);
    assert.equal(endpoint.asked.at(-1)?.get('client_secret'), 'client-secret');
  });

  it('are shared by those who ask at once, and by nobody who knows less', async () => {
    const at = tokens();
    const asked = endpoint.asked.length;
    const login = endpoint.login();
    const outcomes = await Promise.all([1, 2, 3].map(() => at.get(login, null, forget)));
    assert.equal(new Set(outcomes.map((outcome) => loginOf(outcome).accessToken)).size, 1);
    assert.equal(endpoint.asked.length, asked + 1);
    const guess = await at.get({ ...login, clientSecret: 'guess' }, null, forget);
    assert.deepEqual(guess, {
      kind: 'unauthorised',
      reason: 'the token endpoint refused the refresh token (invalid_client)',
    });
  });

  it('show a refresh token once where it is exchanged for another', async () => {
    const at = tokens();
    const given = rotating.login();
    const first = loginOf(await at.get(given, null, forget));
    assert.notEqual(first.refreshToken, given.refreshToken);
    const second = loginOf(await at.get(given, first.accessToken, forget));
    assert.notEqual(second.accessToken, first.accessToken);
    assert.notEqual(second.refreshToken, first.refreshToken);
    assert.deepEqual(loginOf(await at.get(given, null, forget)), second);
    const shown = rotating.asked.map((form) => form.get('refresh_token'));
    assert.equal(new Set(shown).size, shown.length);
  });

  it('are kept before anybody gets them, by all who asked', async () => {
    const at = tokens();
    const given = rotating.login();
    const told: string[] = [];
    const keepAs =
      (name: string): Keep =>
      async (before, renewed) => {
        await new Promise((resolve) => setImmediate(resolve));
        told.push(`${name} ${before.refreshToken} ${renewed.refreshToken}`);
      };
    const get = async (name: string): Promise<void> => {
      const { refreshToken } = loginOf(await at.get(given, null, keepAs(name)));
      assert.equal(told.at(-1), `${name} ${given.refreshToken} ${refreshToken}`);
      told.push(`${name} goes on`);
    };
    await Promise.all([get('one'), get('two')]);
    await get('three');
    const hop = `${given.refreshToken} ${rotating.login().refreshToken}`;
    assert.deepEqual(told, [
      ...[`one ${hop}`, 'one goes on'],
      ...[`two ${hop}`, 'two goes on'],
      ...[`three ${hop}`, 'three goes on'],
    ]);
  });

  it('are waited for by who closes', async () => {
    const at = tokens();
    let answerNow = (): void => {};
    const asked = new Promise<void>((resolve) => {
      endpoint.answer = (response) => {
        answerNow = () => void response.end('{"access_token":"late"}');
        resolve();
      };
    });
    const kept: string[] = [];
    const going = at.get(endpoint.login(), null, async (_before, { accessToken }) => void kept.push(accessToken));
    await asked;
    const closed = at.close().then(() => [...kept]);
    answerNow();
    assert.deepEqual(await closed, ['late']);
    assert.equal((await going).kind, 'token');
  });

  it('are renewed once for all whom a server refused the same one', async () => {
    const at = tokens();
    const login = loginOf(await at.get(endpoint.login(), null, forget));
    const asked = endpoint.asked.length;
    const [one, two] = await Promise.all([
      at.get(login, login.accessToken, forget),
      at.get(login, login.accessToken, forget),
    ]);
    const three = await at.get(login, login.accessToken, forget);
    assert.equal(loginOf(one).accessToken, loginOf(two).accessToken);
    assert.equal(loginOf(one).accessToken, loginOf(three).accessToken);
    assert.equal(endpoint.asked.length, asked + 1);
  });

  const answers = [
    ['a revoked grant', 400, '{"error":"invalid_grant","error_description":"Token revoked"}', 'unauthorised'],
    ['a refused client', 401, '{"error":"invalid_client"}', 'unauthorised'],
    ['a grant that wants its owner to sign in', 400, '{"error":"interaction_required"}', 'unauthorised'],
    ['a firewall', 403, '<html><title>403 Forbidden</title></html>', 'unreachable'],
    ['a proxy that wants a login', 401, '', 'unreachable'],
    ['a request that is not understood', 400, '{"error":"invalid_request"}', 'unreachable'],
    ['an error that nobody knows', 400, '{"error":"AADSTS90033"}', 'unreachable'],
    ['an error that is no code', 400, '{"error":{"code":"invalid_grant"}}', 'unreachable'],
    ['a refusal beside a broken endpoint', 502, '{"error":"invalid_grant"}', 'unreachable'],
    ['an endpoint that cannot now', 400, '{"error":"temporarily_unavailable"}', 'unreachable'],
    ['too many questions', 429, '{}', 'unreachable'],
    ['a broken endpoint', 500, '<html>', 'unreachable'],
    ['a redirect', 302, '', 'unreachable'],
    ['no JSON', 200, 'access_token=1', 'unreachable'],
    ['no token', 200, '{"token_type":"Bearer"}', 'unreachable'],
    ['a token that would end the login line', 200, '{"access_token":"a\\u0001b"}', 'unreachable'],
    ['a token of another type', 200, '{"access_token":"a","token_type":"mac"}', 'unusable'],
    ['a huge answer', 200, `{"access_token":"a","more":"${'x'.repeat(100_000)}"}`, 'unreachable'],
    ['null', 200, 'null', 'unreachable'],
  ] as const;
  for (const [what, status, body, kind] of answers) {
    it(`do not come from ${what}`, async () => {
      endpoint.answer = (response) => response.writeHead(status, { location: '/elsewhere' }).end(body);
      const outcome = await tokens().get(endpoint.login(), null, forget);
      assert.equal(outcome.kind, kind);
      assert.match('reason' in outcome ? outcome.reason : '', /^the token endpoint \S.*[^.]$/);
      endpoint.answer = null;
      assert.equal((await tokens().get(endpoint.login(), null, forget)).kind, 'token');
    });
  }

  it('live as long as the endpoint says, within reason', async () => {
    const lifetimes = [
      [{}, 600_000],
      [{ expires_in: '120' }, 120_000],
      [{ expires_in: -5 }, 600_000],
      [{ expires_in: 1e12 }, 86_400_000],
      [{ expires_in: 'soon' }, 600_000],
    ] as const;
    for (const [more, lifetime] of lifetimes) {
      endpoint.answer = (response) => response.end(JSON.stringify({ access_token: 'a', ...more }));
      const login = loginOf(await tokens(() => 0).get(endpoint.login(), null, forget));
      assert.equal(login.expiresAt, lifetime);
    }
  });

  it('are not asked for where that is not allowed', async () => {
    const refusing = makeSafeFetch({ allowLoopback: false, allowPrivateTargets: parseRanges('') });
    const at = makeAccessTokens({ safeFetch: refusing });
    const asked = endpoint.asked.length;
    assert.equal((await at.get(endpoint.login(), null, forget)).kind, 'blocked');
    assert.equal((await at.get({ ...endpoint.login(), tokenUrl: 'ftp://x' }, null, forget)).kind, 'unusable');
    assert.equal(endpoint.asked.length, asked);
    await refusing.close();
  });
});
