import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { type BareMail, startBareMail } from '../../test/support/bare-mail.ts';
import { account, bareProvider, soon } from '../../test/support/bare-provider.ts';
import { sample } from '../../test/support/provider-contract.ts';
import { startTokenEndpoint, type TokenEndpoint } from '../../test/support/token-endpoint.ts';
import type { ImapCredentials } from './provider.ts';

describe('the imap provider with XOAUTH2', () => {
  const { provider, close } = bareProvider();
  let mail: BareMail;
  let endpoint: TokenEndpoint;
  const send = (credentials: ImapCredentials, signal = soon()): ReturnType<typeof provider.send> =>
    provider.send(account, credentials, sample(account), signal);

  before(async () => {
    mail = await startBareMail();
    endpoint = await startTokenEndpoint({ rotates: true });
    endpoint.onToken = (accessToken) => mail.change({ accessToken });
  });
  afterEach(() => {
    mail.faults.recipient = null;
    endpoint.answer = null;
    mail.cut();
  });
  after(async () => {
    await close();
    await endpoint.close();
    await mail.close();
  });

  it('renews a token that is refused before its time, and makes the call once more', async () => {
    const oauth = { ...endpoint.login(), accessToken: 'taken-back', expiresAt: Date.now() + 3_600_000 };
    const outcome = await send(mail.withOAuth(oauth));
    assert.equal(outcome.kind, 'sent');
    assert.equal(outcome.renewed?.oauth?.accessToken, endpoint.given);
    const again = await send(outcome.renewed ?? mail.credentials);
    assert.equal(again.kind, 'sent');
    assert.equal(again.renewed, undefined);
  });

  it('hands on a renewed refresh token when nothing was sent', async () => {
    mail.faults.recipient = () => ({ code: 550, text: '5.1.1 No such user' });
    const before = endpoint.login();
    const outcome = await send(mail.withOAuth(before));
    assert.equal(outcome.kind, 'rejected');
    assert.notEqual(outcome.renewed?.oauth?.refreshToken, before.refreshToken);
    assert.equal(outcome.renewed?.oauth?.refreshToken, endpoint.login().refreshToken);
  });

  it('asks twice at most where every token is refused', async () => {
    endpoint.onToken = () => {};
    const asked = endpoint.asked.length;
    const outcome = await provider.check(account, mail.withOAuth(endpoint.login()), soon());
    endpoint.onToken = (accessToken) => mail.change({ accessToken });
    assert.equal(outcome.kind, 'problems');
    assert.deepEqual(
      outcome.problems.map(({ at, kind }) => `${at} ${kind}`),
      ['smtp unauthorised', 'imap unauthorised'],
    );
    assert.equal(outcome.renewed?.oauth?.refreshToken, endpoint.login().refreshToken);
    assert.equal(endpoint.asked.length, asked + 2);
    assert.doesNotMatch(JSON.stringify(outcome.problems), /access-|refresh-|client-secret/);
  });

  it('names the token endpoint where that refuses', async () => {
    const outcome = await provider.check(
      account,
      mail.withOAuth({ ...endpoint.login(), clientSecret: 'wrong' }),
      soon(),
    );
    assert.equal(outcome.kind, 'problems');
    assert.deepEqual(
      outcome.problems.map(({ at, kind }) => `${at} ${kind}`),
      ['oauth unauthorised'],
    );
  });

  it('does not wait for a token longer than its time', async () => {
    const asked = new Promise<void>((resolve) => {
      endpoint.answer = () => resolve();
    });
    const controller = new AbortController();
    const going = send(mail.withOAuth(endpoint.login()), controller.signal);
    await asked;
    controller.abort();
    assert.equal((await going).kind, 'unreachable');
  });
});
