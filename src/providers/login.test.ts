import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { type BareMail, startBareMail } from '../../test/support/bare-mail.ts';
import { account, bareProvider, soon } from '../../test/support/bare-provider.ts';
import { accessTo, sample } from '../../test/support/provider-contract.ts';
import { startTokenEndpoint, type TokenEndpoint } from '../../test/support/token-endpoint.ts';
import { afterExchange } from './exchange.ts';
import type { Access, ImapCredentials, OAuthLogin } from './provider.ts';

/** The row of a grant: what is kept, and for how many reads it still shows what was kept before. */
class Row {
  kept: ImapCredentials;
  readonly keeps: string[] = [];
  rereads = 0;
  /** Told before something is read again. */
  onReread = (): void => {};
  onKept = (): void => {};

  constructor(kept: ImapCredentials) {
    this.kept = kept;
  }

  get refreshToken(): string | undefined {
    return this.kept.oauth?.refreshToken;
  }

  /** As who has read it; `loaded` earlier. */
  open(loaded = this.kept): Access<ImapCredentials> {
    return {
      credentials: loaded,
      keep: async (before, renewed) => {
        await new Promise((resolve) => setImmediate(resolve));
        const next = afterExchange(this.kept, before, renewed);
        if (next?.provider !== 'imap') return;
        this.kept = next;
        this.keeps.push(renewed.oauth?.refreshToken ?? '');
        this.onKept();
      },
      reread: async () => {
        this.rereads++;
        this.onReread();
        return this.kept;
      },
    };
  }
}

describe('the imap provider with XOAUTH2', () => {
  const one = bareProvider();
  /** Another process: it knows nothing of what the first one exchanged. */
  const other = bareProvider();
  let mail: BareMail;
  let endpoint: TokenEndpoint;
  let row: Row;
  const send = (
    access: Access<ImapCredentials>,
    signal = soon(),
    { provider } = one,
  ): ReturnType<typeof provider.send> => provider.send(account, access, sample(account), signal);
  const good = (oauth: Partial<OAuthLogin>): ImapCredentials =>
    mail.withOAuth({ ...endpoint.login(), expiresAt: Date.now() + 3_600_000, ...oauth });

  before(async () => {
    mail = await startBareMail();
    endpoint = await startTokenEndpoint({ rotates: true });
  });
  beforeEach(() => {
    endpoint.onToken = (accessToken) => mail.change({ accessToken });
    row = new Row(mail.withOAuth(endpoint.login()));
  });
  afterEach(() => {
    mail.faults.recipient = null;
    endpoint.answer = null;
    mail.cut();
  });
  after(async () => {
    await Promise.all([one.close(), other.close()]);
    await endpoint.close();
    await mail.close();
  });

  it('renews a token that is refused before its time, and makes the call once more', async () => {
    row.kept = good({ accessToken: 'taken-back' });
    assert.equal((await send(row.open())).kind, 'sent');
    assert.equal(row.kept.oauth?.accessToken, endpoint.given);
    const asked = endpoint.asked.length;
    assert.equal((await send(row.open())).kind, 'sent');
    assert.equal(endpoint.asked.length, asked);
    assert.equal(row.keeps.length, 1);
  });

  it('keeps a renewed refresh token before it logs in, and when nothing was sent', async () => {
    const logins = mail.logins.smtp;
    row.onKept = () => assert.equal(mail.logins.smtp, logins);
    mail.faults.recipient = () => ({ code: 550, text: '5.1.1 No such user' });
    assert.equal((await send(row.open())).kind, 'rejected');
    assert.deepEqual(row.keeps, [endpoint.login().refreshToken]);
    assert.equal(mail.logins.smtp, logins + 1);
  });

  it('goes on with what another process got for the refresh token and keeps only now', async () => {
    const loaded = row.kept;
    assert.equal((await send(row.open(), soon(), other)).kind, 'sent');
    const asked = endpoint.asked.length;
    assert.equal((await send(row.open(loaded))).kind, 'sent');
    assert.equal(endpoint.asked.length, asked + 1);
    assert.equal(row.rereads, 1);
  });

  it('waits for another process that has the refresh token exchanged but not kept yet', async () => {
    const loaded = row.kept;
    const slow = new Row(loaded);
    assert.equal((await send(slow.open(), soon(), other)).kind, 'sent');
    row.onReread = () => {
      if (row.rereads === 2) row.kept = slow.kept;
    };
    assert.equal((await send(row.open(loaded))).kind, 'sent');
    assert.equal(row.rereads, 2);
  });

  it('is unauthorised where the refused refresh token is still the one that is kept', async () => {
    row.kept = good({ refreshToken: 'never-given' });
    assert.equal((await send(row.open())).kind, 'unauthorised');
    assert.equal(row.rereads, 4);
  });

  it('asks once only where nobody else can have put other credentials there', async () => {
    let reads = 0;
    const access = {
      ...accessTo(good({ refreshToken: 'never-given' })),
      reread: async () => {
        reads++;
        return null;
      },
    };
    assert.equal((await send(access)).kind, 'unauthorised');
    assert.equal(reads, 1);
  });

  it('does not say unauthorised where its time ends before it could look again, or it cannot read', async () => {
    row.kept = good({ refreshToken: 'never-given' });
    const controller = new AbortController();
    row.onReread = () => controller.abort();
    assert.equal((await send(row.open(), controller.signal)).kind, 'unreachable');
    row.onReread = () => {
      throw new Error('the database is away');
    };
    assert.equal((await send(row.open())).kind, 'unreachable');
  });

  it('uses the servers and the password of who signed in again meanwhile', async () => {
    const loaded = good({ refreshToken: 'never-given' });
    row.kept = mail.credentials;
    assert.equal((await send(row.open({ ...loaded, smtp: { ...loaded.smtp, port: 1 } }))).kind, 'sent');
  });

  it('keeps both exchanges of two calls that began with the same credentials', async () => {
    const loaded = row.kept;
    assert.equal((await send(row.open(loaded))).kind, 'sent');
    mail.change({ accessToken: 'another' }); // takes the first one back
    mail.cut();
    assert.equal((await send(row.open(loaded))).kind, 'sent');
    assert.equal(row.keeps.length, 2);
    assert.equal(row.refreshToken, endpoint.login().refreshToken);
    assert.equal((await send(row.open(), soon(), other)).kind, 'sent');
  });

  it('keeps what it exchanged once where that could not be kept before', async () => {
    const lost: Access<ImapCredentials> = { ...row.open(), keep: async () => {} };
    assert.equal((await send(lost)).kind, 'sent');
    assert.notEqual(row.refreshToken, endpoint.login().refreshToken);
    assert.equal((await send(row.open())).kind, 'sent');
    assert.equal(row.refreshToken, endpoint.login().refreshToken);
  });

  it('leaves credentials alone that came in between', async () => {
    const loaded = row.kept;
    const others = mail.withOAuth({ ...endpoint.login(), refreshToken: 'of-another-sign-in' });
    row.kept = others;
    assert.equal((await send(row.open(loaded))).kind, 'sent');
    assert.deepEqual(row.kept, others);
  });

  it('changes nothing but the tokens of what is kept', async () => {
    const loaded = row.kept;
    row.kept = { ...loaded, imap: null };
    assert.equal((await send(row.open(loaded))).kind, 'sent');
    assert.equal(row.kept.imap, null);
    assert.equal(row.refreshToken, endpoint.login().refreshToken);
  });

  it('asks twice at most where every token is refused', async () => {
    endpoint.onToken = () => {};
    const asked = endpoint.asked.length;
    const outcome = await one.provider.check(account, row.open(), soon());
    assert.equal(outcome.kind, 'problems');
    assert.deepEqual(
      outcome.problems.map(({ at, kind }) => `${at} ${kind}`),
      ['smtp unauthorised', 'imap unauthorised'],
    );
    assert.equal(row.refreshToken, endpoint.login().refreshToken);
    assert.equal(endpoint.asked.length, asked + 2);
    assert.doesNotMatch(JSON.stringify(outcome.problems), /access-|refresh-|client-secret/);
  });

  it('names the token endpoint where that refuses', async () => {
    const access = accessTo(mail.withOAuth({ ...endpoint.login(), clientSecret: 'wrong' }));
    const outcome = await one.provider.check(account, access, soon());
    assert.equal(outcome.kind, 'problems');
    assert.deepEqual(
      outcome.problems.map(({ at, kind }) => `${at} ${kind}`),
      ['oauth unauthorised'],
    );
  });

  it('does not wait for a token longer than its time, and keeps it when it comes', async () => {
    let answerNow = (): void => {};
    const asked = new Promise<void>((resolve) => {
      endpoint.answer = (response) => {
        answerNow = () => void response.end('{"access_token":"late","refresh_token":"late-refresh"}');
        resolve();
      };
    });
    const kept = new Promise<void>((resolve) => {
      row.onKept = resolve;
    });
    const controller = new AbortController();
    const going = send(row.open(), controller.signal);
    await asked;
    controller.abort();
    assert.equal((await going).kind, 'unreachable');
    answerNow();
    await kept;
    assert.equal(row.refreshToken, 'late-refresh');
  });

  it('exchanges nothing when its time is over already', async () => {
    const asked = endpoint.asked.length;
    assert.equal((await send(row.open(), AbortSignal.abort())).kind, 'unreachable');
    assert.equal(endpoint.asked.length, asked);
  });
});
