import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { certificate } from '../../../test/support/certificate.ts';
import { loopbackNetwork, mailTo, serverAt } from '../../../test/support/smtp-ground.ts';
import { smtpPeer } from '../../../test/support/smtp-peer.ts';
import type { MailNetwork } from '../mail-server.ts';
import { makeSmtp, type Smtp } from './smtp.ts';

const PASSWORD = { password: 'sësame open' };
const TOKEN = { accessToken: 'ya29.token' };
const ends: (() => Promise<void>)[] = [];
after(async () => {
  for (const end of ends) await end();
});

function smtpOn(network: Partial<MailNetwork> = {}): Smtp {
  const smtp = makeSmtp({ network: loopbackNetwork(network) });
  ends.unshift(() => smtp.close());
  return smtp;
}

interface Delivered {
  readonly from: string;
  readonly to: readonly string[];
  readonly mail: string;
  readonly secure: boolean;
  readonly hello: string;
}

async function mailServer(
  options: SMTPServerOptions = {},
): Promise<{ port: number; delivered: Delivered[]; logins: string[] }> {
  const delivered: Delivered[] = [];
  const logins: string[] = [];
  const server = new SMTPServer({
    ...certificate,
    authMethods: ['PLAIN', 'LOGIN', 'XOAUTH2'],
    disableReverseLookup: true,
    onAuth(auth, _session, done) {
      logins.push(auth.method);
      if (auth.password === PASSWORD.password || auth.accessToken === TOKEN.accessToken) return done(null, { user: 1 });
      if (auth.method !== 'XOAUTH2') return done(new Error('Invalid username or password'));
      done(null, { data: { status: '401', schemes: 'bearer mac', scope: 'https://mail.google.com/' } });
    },
    onRcptTo({ address }, _session, done) {
      if (address.startsWith('gone'))
        return done(Object.assign(new Error('5.1.1 No such user'), { responseCode: 550 }));
      if (address.startsWith('later')) return done(Object.assign(new Error('4.2.0 Greylisted'), { responseCode: 450 }));
      done();
    },
    onData(stream, { envelope, secure, hostNameAppearsAs }, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const from = envelope.mailFrom === false ? '' : envelope.mailFrom.address;
        const to = envelope.rcptTo.map(({ address }) => address);
        delivered.push({ from, to, mail: Buffer.concat(chunks).toString(), secure, hello: hostNameAppearsAs });
        done(null, '2.0.0 Ok: queued');
      });
    },
    ...options,
  });
  server.on('error', () => {});
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  ends.push(() => new Promise((resolve) => server.close(() => resolve())));
  return { port: (server.server.address() as AddressInfo).port, delivered, logins };
}

const soon = (): AbortSignal => AbortSignal.timeout(10_000);

describe('sending by SMTP', () => {
  for (const security of ['starttls', 'tls'] as const) {
    it(`goes by ${security}, byte by byte`, async () => {
      const { port, delivered } = await mailServer({ secure: security === 'tls' });
      const mail = mailTo('kim@example.com', 'hidden@example.com');
      const outcome = await smtpOn().send(serverAt(port, { security }), PASSWORD, mail, soon());
      assert.deepEqual(outcome, { kind: 'sent', messageId: mail.messageId, refused: [] });
      assert.deepEqual(delivered, [
        { ...mail.envelope, mail: mail.raw.toString(), secure: true, hello: 'example.com' },
      ]);
    });
  }

  it('gives a large mail whole', async () => {
    const { port, delivered } = await mailServer();
    const line = `${'.'.repeat(75)}\r\n`;
    const raw = Buffer.from(`Subject: Large\r\n\r\n${line.repeat(40_000)}`);
    const outcome = await smtpOn().send(serverAt(port), PASSWORD, { ...mailTo('kim@example.com'), raw }, soon());
    assert.equal(outcome.kind, 'sent');
    assert.ok(delivered[0]?.mail === raw.toString());
  });

  it('names the recipients that were refused while others got it', async () => {
    const { port, delivered } = await mailServer();
    const mail = mailTo('gone@example.com', 'kim@example.com', 'later@example.com');
    assert.deepEqual(await smtpOn().send(serverAt(port), PASSWORD, mail, soon()), {
      kind: 'sent',
      messageId: mail.messageId,
      refused: [
        { address: 'gone@example.com', reason: '550 5.1.1 No such user' },
        { address: 'later@example.com', reason: '450 4.2.0 Greylisted' },
      ],
    });
    assert.deepEqual(delivered[0]?.to, ['kim@example.com']);
  });

  it('is rejected where nobody is left, deferred where all might be taken later', async () => {
    const { port, delivered } = await mailServer();
    const smtp = smtpOn();
    const send = (...to: string[]): ReturnType<Smtp['send']> =>
      smtp.send(serverAt(port), PASSWORD, mailTo(...to), soon());
    const rejected = await send('later@example.com', 'gone@example.com');
    assert.equal(rejected.kind, 'rejected');
    assert.equal(rejected.reason, '550 5.1.1 No such user');
    assert.deepEqual(
      rejected.refused.map(({ address }) => address),
      ['later@example.com', 'gone@example.com'],
    );
    assert.deepEqual(await send('later@example.com'), { kind: 'deferred', reason: '450 4.2.0 Greylisted' });
    assert.equal((await send('kim@example.com')).kind, 'sent'); // over the same connection
    assert.equal(delivered.length, 1);
  });

  it('uses the login that the server offers', async () => {
    const { port, logins } = await mailServer({ authMethods: ['LOGIN', 'XOAUTH2'] });
    const smtp = smtpOn();
    assert.equal((await smtp.send(serverAt(port), PASSWORD, mailTo('kim@example.com'), soon())).kind, 'sent');
    assert.equal((await smtp.send(serverAt(port), TOKEN, mailTo('kim@example.com'), soon())).kind, 'sent');
    assert.deepEqual(logins, ['LOGIN', 'XOAUTH2']);
    const crammed = await mailServer({
      authMethods: ['CRAM-MD5'],
      onAuth: (auth, _session, done) =>
        auth.validatePassword(PASSWORD.password) ? done(null, { user: 1 }) : done(new Error('no')),
    });
    assert.equal(await smtp.check(serverAt(crammed.port), PASSWORD, soon()), null);
    assert.equal((await smtp.check(serverAt(crammed.port), { password: 'x' }, soon()))?.kind, 'unauthorised');
    assert.deepEqual(await smtp.check(serverAt(crammed.port), TOKEN, soon()), {
      at: 'smtp',
      kind: 'unusable',
      reason: 'the server offers no login with an access token (XOAUTH2), only CRAM-MD5',
    });
  });

  it('is unauthorised with wrong credentials, and never tells them', async () => {
    const { port } = await mailServer();
    const smtp = smtpOn();
    const wrong = await smtp.send(serverAt(port), { password: 'wrong' }, mailTo('kim@example.com'), soon());
    assert.deepEqual(wrong, { kind: 'unauthorised', reason: '535 Invalid username or password' });
    const old = await smtp.send(serverAt(port), { accessToken: 'expired' }, mailTo('kim@example.com'), soon());
    assert.equal(old.kind, 'unauthorised');
    assert.match(old.reason, /^535 .*\(XOAUTH2 status 401\)$/);
  });

  it('does not take a mail that is larger than the server said', async () => {
    const { port } = await mailServer({ size: 50 });
    const outcome = await smtpOn().send(serverAt(port), PASSWORD, mailTo('kim@example.com', 'lee@example.com'), soon());
    assert.deepEqual(outcome, { kind: 'rejected', reason: 'Message size larger than allowed 50', refused: [] });
  });

  it('writes a domain in ASCII and says which address needs more than the server can', async () => {
    const { port, heard, close } = await smtpPeer(() => ({}));
    ends.push(close);
    const mail = mailTo('kim@bücher.example', 'kïm@example.com');
    assert.deepEqual(await smtpOn().send(serverAt(port), PASSWORD, mail, soon()), {
      kind: 'sent',
      messageId: mail.messageId,
      refused: [
        { address: 'kïm@example.com', reason: 'the mail server does not take addresses beyond ASCII (SMTPUTF8)' },
      ],
    });
    assert.deepEqual(
      heard.filter((line) => line.startsWith('RCPT')),
      ['RCPT TO:<kim@xn--bcher-kva.example>'],
    );
    const nobody = await smtpOn().send(serverAt(port), PASSWORD, mailTo('kïm@example.com'), soon());
    assert.equal(nobody.kind, 'rejected');
    const sender = { ...mailTo('kim@example.com'), envelope: { from: 'änn@example.com', to: ['kim@example.com'] } };
    assert.equal((await smtpOn().send(serverAt(port), PASSWORD, sender, soon())).kind, 'failed');
    const able = await mailServer();
    const taken = await smtpOn().send(serverAt(able.port), PASSWORD, mailTo('kïm@example.com'), soon());
    assert.equal(taken.kind, 'sent');
    assert.deepEqual(able.delivered[0]?.to, ['kïm@example.com']);
  });

  it('says under which Message-ID a server that renames mails sent it', async () => {
    const renamed = '<AM0PR01MB1.eurprd01.prod.outlook.com>';
    const { port } = await mailServer({
      onData: (stream, _session, done) => {
        stream
          .resume()
          .on('end', () => done(null, `2.0.0 OK ${renamed} [Hostname=AM0PR01MB1.eurprd01.prod.outlook.com]`));
      },
    });
    const outcome = await smtpOn().send(serverAt(port), PASSWORD, mailTo('kim@example.com'), soon());
    assert.ok(outcome.kind === 'sent');
    assert.equal(outcome.messageId, renamed);
  });
});

describe('the credentials of a mailbox', () => {
  it('are checked without sending anything', async () => {
    const { port, delivered } = await mailServer();
    const smtp = smtpOn();
    assert.equal(await smtp.check(serverAt(port), PASSWORD, soon()), null);
    assert.equal(await smtp.check(serverAt(port), TOKEN, soon()), null);
    const wrong = await smtp.check(serverAt(port), { password: 'wrong' }, soon());
    assert.deepEqual(wrong, { at: 'smtp', kind: 'unauthorised', reason: '535 Invalid username or password' });
    assert.deepEqual(delivered, []);
  });

  it('are not said to a server whose certificate is not trusted', async () => {
    for (const security of ['starttls', 'tls'] as const) {
      const { port, logins } = await mailServer({ secure: security === 'tls' });
      const cases = [
        [smtpOn({ ca: null }), serverAt(port, { security }), /TELLTALE_MAIL_CA_FILE/],
        [smtpOn(), serverAt(port, { security, host: 'other.test' }), /for other host names/],
        [smtpOn(), serverAt(port, { security, host: '127.0.0.1' }), /for other host names/],
      ] as const;
      for (const [smtp, server, why] of cases) {
        const problem = await smtp.check(server, PASSWORD, soon());
        assert.equal(problem?.kind, 'certificate', problem?.reason);
        assert.match(problem.reason, why);
        const outcome = await smtp.send(server, PASSWORD, mailTo('kim@example.com'), soon());
        assert.equal(outcome.kind, 'unreachable');
        assert.match(outcome.reason, why);
      }
      assert.deepEqual(logins, []);
    }
  });

  it('are not said without TLS, unless the network is open and the server offers none', async () => {
    const opened = { allowLoopback: false, allowPrivateTargets: new Set(['127.0.0.1']) };
    const closed = loopbackNetwork({ allowLoopback: false });
    const { port, logins, delivered } = await mailServer({ hideSTARTTLS: true, disabledCommands: ['STARTTLS'] });
    assert.equal(await smtpOn(opened).check(serverAt(port), PASSWORD, soon()), null);
    assert.deepEqual(logins, ['PLAIN']);
    const blocked = await smtpOn(closed).check(serverAt(port), PASSWORD, soon());
    assert.equal(blocked?.kind, 'blocked');
    assert.equal(
      (await smtpOn(closed).send(serverAt(port), PASSWORD, mailTo('kim@example.com'), soon())).kind,
      'failed',
    );
    assert.deepEqual(logins, ['PLAIN']);
    assert.deepEqual(delivered, []);
  });

  it('fail with the reason where the server cannot be talked to', async () => {
    const { port } = await mailServer();
    const spare = await mailServer({ secure: true });
    const smtp = smtpOn();
    const nowhere = await smtp.check(serverAt(port, { host: 'nowhere.test' }), PASSWORD, soon());
    assert.deepEqual(nowhere, { at: 'smtp', kind: 'unreachable', reason: 'nowhere.test has no address' });
    const nobody = await smtp.check(serverAt(1), PASSWORD, soon());
    assert.equal(nobody?.kind, 'unreachable');
    assert.equal(nobody.reason, 'receiver.test:1 does not answer: nothing listens there');
    const noTls = await smtp.check(serverAt(port, { security: 'tls' }), PASSWORD, soon());
    assert.match(noTls?.reason ?? '', /does not begin with TLS; the port may be for STARTTLS$/);
    const hasty = makeSmtp({ network: loopbackNetwork(), limits: { checkMs: 200 } });
    const allTls = await hasty.check(serverAt(spare.port), PASSWORD, soon());
    assert.match(allTls?.reason ?? '', /sent no greeting \(0\.2 s were over\); the port may expect TLS/);
  });
});
