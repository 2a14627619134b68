import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { type BareMail, type BareMailOptions, startBareMail } from '../../test/support/bare-mail.ts';
import { account, bareProvider, noConnections, soon } from '../../test/support/bare-provider.ts';
import type { DraftsFolder } from '../../test/support/draft-contract.ts';
import { accessTo, type ProviderHarness, providerContract, sample } from '../../test/support/provider-contract.ts';
import { localNetwork } from '../../test/support/providers.ts';
import { startTokenEndpoint } from '../../test/support/token-endpoint.ts';
import { makeSessions } from './imap/sessions.ts';
import type { ImapCredentials } from './provider.ts';

async function passwordHarness(options: BareMailOptions): Promise<ProviderHarness<ImapCredentials>> {
  const mail = await startBareMail(options);
  const { provider, close } = bareProvider();
  const { smtp, imap } = mail.credentials;
  const wrong = { password: 'not-the-secret' };
  return {
    provider,
    account,
    credentials: mail.credentials,
    wrongCredentials: { provider: 'imap', smtp: { ...smtp, ...wrong }, imap: { ...imap, ...wrong } },
    delivered: async () => mail.delivered(),
    sentFolder: async () => mail.folder('Sent'),
    arrive: async (raw) => mail.put('INBOX', raw),
    drafts: draftsOf(mail),
    async expire() {
      mail.change({ password: 'another-secret' });
      mail.cut();
    },
    async close() {
      await close();
      await mail.close();
    },
  };
}

function draftsOf(mail: BareMail): DraftsFolder {
  return { list: async () => mail.folder('Drafts'), put: async (raw) => mail.put('Drafts', raw) };
}

providerContract('imap in the clear', () => passwordHarness({ security: 'plain' }));
providerContract('imap by STARTTLS', () => passwordHarness({ security: 'starttls' }));
providerContract('imap by TLS', () => passwordHarness({ security: 'tls' }));
providerContract('imap with XOAUTH2', async () => {
  const mail = await startBareMail();
  const endpoint = await startTokenEndpoint({ rotates: true });
  endpoint.onToken = (accessToken) => mail.change({ accessToken });
  const { provider, close } = bareProvider();
  return {
    provider,
    account,
    credentials: mail.withOAuth(endpoint.login()),
    wrongCredentials: mail.withOAuth({ ...endpoint.login(), refreshToken: 'never-given' }),
    delivered: async () => mail.delivered(),
    sentFolder: async () => mail.folder('Sent'),
    arrive: async (raw) => mail.put('INBOX', raw),
    drafts: draftsOf(mail),
    async expire() {
      endpoint.revoke();
      mail.change({ accessToken: 'another' });
      mail.cut();
    },
    async close() {
      await close();
      await endpoint.close();
      await mail.close();
    },
  };
});

describe('the imap provider', () => {
  let mail: BareMail;
  const { provider, close } = bareProvider();

  before(async () => {
    mail = await startBareMail();
  });
  after(async () => {
    await close();
    await mail.close();
  });

  it('names both servers where both refuse', async () => {
    const { smtp, imap } = mail.credentials;
    const wrong = { password: 'not-the-secret' };
    const outcome = await provider.check(
      account,
      accessTo<ImapCredentials>({ provider: 'imap', smtp: { ...smtp, ...wrong }, imap: { ...imap, ...wrong } }),
      soon(),
    );
    assert.equal(outcome.kind, 'problems');
    assert.deepEqual(
      outcome.problems.map(({ at, kind }) => [at, kind]),
      [
        ['smtp', 'unauthorised'],
        ['imap', 'unauthorised'],
      ],
    );
    assert.doesNotMatch(JSON.stringify(outcome), /not-the-secret/);
  });

  it('can say nothing about a mailbox without IMAP', async () => {
    const credentials: ImapCredentials = { ...mail.credentials, imap: null };
    assert.deepEqual(await provider.check(account, accessTo(credentials), soon()), { kind: 'works' });
    assert.deepEqual(await provider.findSent(account, accessTo(credentials), '<a@b>', soon()), { kind: 'unsure' });
    assert.equal(provider.wantsCopy(credentials), false);
  });

  it('tells an untrusted certificate and a port without TLS from a wrong password', async () => {
    const secure = await startBareMail({ security: 'tls' });
    const upgraded = await startBareMail({ security: 'starttls' });
    const distrustful = bareProvider(null);
    const kinds = async (credentials: ImapCredentials): Promise<readonly string[]> => {
      const outcome = await distrustful.provider.check(account, accessTo(credentials), soon());
      return outcome.kind === 'works' ? [] : outcome.problems.map(({ at, kind }) => `${at} ${kind}`);
    };
    const { smtp, imap } = mail.credentials;
    assert.deepEqual(await kinds(secure.credentials), ['smtp certificate', 'imap certificate']);
    assert.deepEqual(await kinds(upgraded.credentials), ['smtp certificate', 'imap certificate']);
    assert.deepEqual(await kinds({ provider: 'imap', smtp, imap: { ...imap, security: 'tls' } }), ['imap unusable']);
    assert.deepEqual(await kinds({ provider: 'imap', smtp, imap: { ...imap, port: 1 } }), ['imap unreachable']);
    const found = await distrustful.provider.findSent(account, accessTo(secure.credentials), '<a@b>', soon());
    assert.equal(found.kind, 'unreachable');
    await distrustful.close();
    await Promise.all([secure.close(), upgraded.close()]);
  });
});

describe('a certificate of another host', () => {
  for (const security of ['tls', 'starttls'] as const) {
    it(`is not trusted by ${security}, though its authority is`, async () => {
      const { provider, close } = bareProvider();
      const mail = await startBareMail({ security, host: 'other.test' });
      const outcome = await provider.check(account, accessTo(mail.credentials), soon());
      assert.equal(outcome.kind, 'problems');
      assert.deepEqual(
        outcome.problems.map(({ at, kind }) => `${at} ${kind}`),
        ['smtp certificate', 'imap certificate'],
      );
      assert.deepEqual(mail.logins, { smtp: 0, imap: 0 });
      // smtp-server (3.21.6) asks a connection that is cut at the end of its handshake for its protocol, which ends Node.
      if (security === 'tls') await noConnections(mail);
      await close();
      await mail.close();
    });
  }
});

describe('connections of the imap provider', () => {
  it('are ended by closing it, together with the calls that go on', async () => {
    const mail = await startBareMail();
    const { provider, close } = bareProvider();
    const keep = (): ReturnType<typeof provider.keepCopy> =>
      provider.keepCopy(account, accessTo(mail.credentials), sample(account), soon());
    assert.equal((await keep()).kind, 'kept');
    assert.equal(mail.connections, 1);
    mail.faults.append = 'hang';
    const appending = mail.appending();
    const going = [keep(), keep()];
    await appending;
    await close();
    assert.deepEqual(
      (await Promise.all(going)).map(({ kind }) => kind),
      ['unreachable', 'unreachable'],
    );
    await noConnections(mail);
    assert.equal((await keep()).kind, 'unreachable');
    assert.equal(mail.connections, 0);
    await mail.close();
  });

  it('are not left behind by a refused login', async () => {
    const mail = await startBareMail();
    const { provider, close } = bareProvider();
    const { imap } = mail.credentials;
    const credentials = { ...mail.credentials, imap: { ...imap, password: 'wrong' } };
    const outcome = await provider.findSent(account, accessTo(credentials), '<a@b>', soon());
    assert.equal(outcome.kind, 'unauthorised');
    await noConnections(mail);
    await close();
    await mail.close();
  });

  it('are ended in time at a server that never speaks', async () => {
    const silent = createServer();
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const address = silent.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { provider, close } = bareProvider();
    for (const security of ['starttls', 'tls'] as const) {
      const server = { host: '127.0.0.1', port, security, user: 'a', password: 'b' };
      const controller = new AbortController();
      const connected = once(silent, 'connection');
      const going = provider.findSent(
        account,
        accessTo<ImapCredentials>({ provider: 'imap', smtp: server, imap: server }),
        '<a@b>',
        controller.signal,
      );
      const [socket] = await connected;
      socket.resume();
      const ended = once(socket, 'close');
      controller.abort();
      assert.equal((await going).kind, 'unreachable');
      await ended;
    }
    await close();
    silent.close();
    await once(silent, 'close');
  });

  it('are ended when they are unused for a while', async () => {
    const mail = await startBareMail();
    const sessions = makeSessions({ network: localNetwork(), keepMs: 1 });
    const { imap } = mail.credentials;
    const used = await sessions.use(imap, { password: imap.password ?? '' }, soon(), {
      work: async (session) => session.client.usable,
      failed: () => false,
    });
    assert.equal(used, true);
    await noConnections(mail);
    await sessions.close();
    await mail.close();
  });
});
