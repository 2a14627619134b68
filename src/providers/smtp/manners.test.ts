import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { loopbackNetwork, mailTo, serverAt } from '../../../test/support/smtp-ground.ts';
import {
  dribble,
  hangUp,
  offering,
  reset,
  type Script,
  type SmtpPeer,
  say,
  sayAndHangUp,
  silence,
  smtpPeer,
  startTls,
} from '../../../test/support/smtp-peer.ts';
import type { SendOutcome } from '../provider.ts';
import { makeSmtp } from './smtp.ts';

const smtp = makeSmtp({ network: loopbackNetwork() });
const peers: SmtpPeer[] = [];
after(async () => {
  await smtp.close();
  for (const peer of peers) await peer.close();
});

async function peer(script: Script): Promise<SmtpPeer> {
  const made = await smtpPeer(() => script);
  peers.push(made);
  return made;
}

const AUTH = { password: 'correct horse' };
const LARGE = Buffer.from(`Subject: Large\r\n\r\n${`${'x'.repeat(76)}\r\n`.repeat(100_000)}`);
const soon = (): AbortSignal => AbortSignal.timeout(10_000);

async function sendTo(script: Script, signal = soon(), raw?: Buffer): Promise<SendOutcome> {
  const { port } = await peer(script);
  const mail = mailTo('kim@example.com');
  return smtp.send(serverAt(port), AUTH, raw === undefined ? mail : { ...mail, raw }, signal);
}

/** What the server does, and what became of the mail. */
const MANNERS: readonly (readonly [what: string, script: Script, kind: SendOutcome['kind'], reason?: RegExp])[] = [
  ['hangs up instead of a greeting', { greeting: hangUp }, 'unreachable', /sent no greeting/],
  ['resets instead of a greeting', { greeting: reset }, 'unreachable'],
  ['greets with 421', { greeting: sayAndHangUp('421 4.3.2 Shutting down') }, 'deferred', /^421 4\.3\.2 Shutting down$/],
  ['greets with 554', { greeting: sayAndHangUp('554 5.7.1 Blocked') }, 'failed', /^554 5\.7\.1 Blocked$/],
  ['speaks HTTP', { greeting: sayAndHangUp('HTTP/1.1 400 Bad Request') }, 'unreachable', /does not speak SMTP: HTTP/],
  ['greets without end', { greeting: say('220-hello '.repeat(10_000)) }, 'unreachable', /maximum allowed size/],
  ['hangs up at EHLO', { EHLO: hangUp }, 'unreachable', /broke off before the login/],
  ['says 421 to EHLO', { EHLO: sayAndHangUp('421 4.7.0 Too many connections') }, 'throttled'],
  ['says giant things to EHLO', { EHLO: say(...Array.from({ length: 9000 }, () => '250-SOMETHING')) }, 'unreachable'],
  ['offers no login', { EHLO: offering('PIPELINING') }, 'failed', /offers no login with a password$/],
  ['offers only foreign logins', { EHLO: offering('AUTH GSSAPI NTLM') }, 'failed', /offers no login/],
  ['knows no EHLO', { EHLO: say('502 5.5.2 what?') }, 'failed', /offers no login/],
  ['hangs up at AUTH', { AUTH: hangUp }, 'unreachable', /broke off at the login/],
  ['refuses the login', { AUTH: say('535 5.7.8 Bad credentials') }, 'unauthorised', /^535 5\.7\.8 Bad credentials$/],
  ['refuses the login and hangs up', { AUTH: sayAndHangUp('535 5.7.8 No') }, 'unauthorised'],
  ['cannot check the login now', { AUTH: say('454 4.7.0 Temporary authentication failure') }, 'deferred'],
  ['has seen too many logins', { AUTH: sayAndHangUp('421 4.7.0 Too many login attempts') }, 'throttled'],
  ['babbles at AUTH', { AUTH: say('certainly') }, 'failed', /no SMTP reply/],
  ['hangs up at MAIL', { MAIL: hangUp }, 'unreachable'],
  ['resets at MAIL', { MAIL: reset }, 'unreachable'],
  ['babbles at MAIL', { MAIL: say('certainly') }, 'unreachable', /certainly/],
  ['says 421 to MAIL', { MAIL: sayAndHangUp('421 4.7.0 Try again later') }, 'deferred', /^421 4\.7\.0/],
  ['refuses the sender', { MAIL: say('553 5.7.1 Not yours'), DATA: say('503 5.5.1 No') }, 'failed', /^553 5\.7\.1/],
  ['limits sending', { MAIL: say('550 5.4.5 Daily user sending limit exceeded'), DATA: say('503 no') }, 'throttled'],
  ['hangs up at RCPT', { RCPT: hangUp }, 'unreachable'],
  ['says 421 to RCPT', { RCPT: sayAndHangUp('421 4.7.0 Too many errors') }, 'throttled'],
  ['refuses the recipient', { RCPT: say('550 5.1.1 Unknown'), DATA: say('554 5.5.1 No recipients') }, 'rejected'],
  ['refuses the recipient, and takes DATA', { RCPT: say('550 5.1.1 Unknown') }, 'rejected', /^550 5\.1\.1 Unknown$/],
  ['defers the recipient', { RCPT: say('450 4.7.1 Come back in 5 minutes'), DATA: say('503 no') }, 'deferred'],
  ['hangs up at DATA', { DATA: hangUp }, 'unreachable'],
  ['refuses DATA', { DATA: say('554 5.7.1 No') }, 'rejected', /^554 5\.7\.1 No$/],
  ['defers DATA', { DATA: say('451 4.3.0 Queue trouble') }, 'deferred'],
  ['says 5xx after the mail', { mail: say('554 5.7.1 Spam') }, 'rejected', /^554 5\.7\.1 Spam$/],
  ['says 4xx after the mail', { mail: say('451 4.7.1 Later') }, 'deferred'],
  ['says 421 after the mail', { mail: sayAndHangUp('421 4.3.0 Shutting down') }, 'deferred'],
  ['says who may not send after the mail', { mail: say('550 5.7.60 Client may not send as this') }, 'failed'],
  ['hangs up after the mail without a word', { mail: hangUp }, 'unknown'],
  ['resets after the mail', { mail: reset }, 'unknown'],
  ['babbles after the mail', { mail: say('certainly') }, 'unknown'],
  ['says 354 after the mail', { mail: say('354 more?') }, 'unknown'],
  ['says half a word after the mail', { mail: (socket) => void socket.end('25') }, 'unknown'],
  ['says giant things after the mail', { mail: say('250-'.repeat(30_000)) }, 'unknown'],
  ['dribbles at last', { mail: dribble('250-2.0.0 Queued\r\n250 2.0.0 as 1', 2) }, 'sent'],
  ['dribbles always', { EHLO: dribble('250-peer\r\n250 AUTH PLAIN', 1), MAIL: dribble('250 2.1.0 Ok', 2) }, 'sent'],
  ['hangs up with the last word', { mail: sayAndHangUp('250 2.0.0 Ok') }, 'sent'],
  ['answers in capitals and empty lines', { mail: say('', '250 OK') }, 'sent'],
];

describe('a server of bad manners', () => {
  for (const [what, script, kind, reason] of MANNERS) {
    it(`that ${what}: ${kind}`, async () => {
      const outcome = await sendTo(script);
      assert.equal(outcome.kind, kind, JSON.stringify(outcome));
      if (outcome.kind !== 'sent') {
        if (reason !== undefined) assert.match(outcome.reason, reason);
        assert.ok(outcome.reason.length <= 400, outcome.reason);
        assert.doesNotMatch(outcome.reason, /correct|Y29ycmVjd|\n/);
      }
    });

    it(`that ${what}, without pipelining: ${kind}`, async () => {
      if (script.EHLO !== undefined) return;
      const outcome = await sendTo({ ...script, EHLO: offering('AUTH PLAIN') });
      assert.equal(outcome.kind, kind, JSON.stringify(outcome));
    });
  }

  it('that hangs up in the middle of the mail: unknown', async () => {
    assert.equal((await sendTo({ inData: hangUp }, soon(), LARGE)).kind, 'unknown');
    assert.equal((await sendTo({ inData: reset }, soon(), LARGE)).kind, 'unknown');
  });

  it('that refuses in the middle of the mail: not sent, and nothing more is said on that connection', async () => {
    const early = await peer({ inData: say('552 5.3.4 Message too big') });
    const send = (raw: Buffer): Promise<SendOutcome> =>
      smtp.send(serverAt(early.port), AUTH, { ...mailTo('kim@example.com'), raw }, soon());
    const refused = { kind: 'rejected', reason: '552 5.3.4 Message too big', refused: [] };
    assert.deepEqual(await send(LARGE), refused);
    assert.deepEqual(await send(LARGE), refused);
    assert.equal(early.connections, 2);
    assert.deepEqual(early.mails, []);
  });

  it('that accepts in the middle of the mail: unknown', async () => {
    assert.equal((await sendTo({ inData: say('250 2.0.0 Ok already') }, soon(), LARGE)).kind, 'unknown');
  });

  it('that never answers is left when the time is over, unknown once it had the mail', async () => {
    const stages = [
      ['greeting', 'unreachable'],
      ['EHLO', 'unreachable'],
      ['AUTH', 'unreachable'],
      ['MAIL', 'unreachable'],
      ['RCPT', 'unreachable'],
      ['DATA', 'unreachable'],
      ['mail', 'unknown'],
    ] as const;
    for (const [stage, kind] of stages) {
      const time = new AbortController();
      const silent = await peer({
        [stage]: () => setImmediate(() => time.abort()),
      });
      const outcome = await smtp.send(serverAt(silent.port), AUTH, mailTo('kim@example.com'), time.signal);
      assert.equal(outcome.kind, kind, stage);
      assert.match('reason' in outcome ? outcome.reason : '', /the time for this call was over/);
    }
  });

  it('that never answers QUIT does not hold a check up for long', async () => {
    const { port } = await peer({ QUIT: silence });
    const started = performance.now();
    assert.equal(await smtp.check(serverAt(port), AUTH, soon()), null);
    assert.ok(performance.now() - started < 3000);
  });

  it('that offers STARTTLS and then fails it gets no credentials', async () => {
    const offer = offering('PIPELINING', 'STARTTLS', 'AUTH PLAIN');
    for (const STARTTLS of [say('454 4.7.0 TLS not available'), say('500 what?'), hangUp, reset]) {
      const failing = await peer({ EHLO: offer, STARTTLS });
      const outcome = await smtp.send(serverAt(failing.port), AUTH, mailTo('kim@example.com'), soon());
      assert.equal(outcome.kind, 'unreachable');
      assert.deepEqual(failing.heard.slice(0, 2), ['EHLO example.com', 'STARTTLS']);
      assert.equal(failing.heard.length, 2);
    }
  });

  it('that offers no STARTTLS gets no credentials beyond this machine and opened networks', async () => {
    // The second address is never dialled; it is there to be public.
    const names = { lookUp: async () => ['127.0.0.1', '8.8.8.8'] };
    const strict = makeSmtp({ network: loopbackNetwork({ names }) });
    const open = await peer({ STARTTLS: say('502 5.5.2 what?') });
    const problem = await strict.check(serverAt(open.port), AUTH, soon());
    assert.equal(problem?.kind, 'unreachable');
    assert.match(problem.reason, /offers no STARTTLS that works, and credentials do not go without TLS$/);
    const old = await peer({ EHLO: say('502 5.5.2 what?') });
    assert.equal((await strict.check(serverAt(old.port), AUTH, soon()))?.kind, 'unreachable');
    for (const { heard } of [open, old]) assert.ok(!heard.some((line) => line.startsWith('AUTH')));
    assert.equal(await smtp.check(serverAt(open.port), AUTH, soon()), null);
  });

  it('cannot slip replies in before TLS begins', async () => {
    const smuggled = '250-injected\r\n250 AUTH LOGIN\r\n235 2.7.0 welcome\r\n250 2.0.0 sent\r\n';
    let hellos = 0;
    const EHLO: Script[string] = (socket, line) =>
      offering(...(hellos++ === 0 ? ['STARTTLS', 'AUTH LOGIN'] : ['AUTH PLAIN']))(socket, line);
    const { port, heard } = await peer({ EHLO, STARTTLS: startTls(smuggled) });
    const outcome = await smtp.send(serverAt(port), AUTH, mailTo('kim@example.com'), soon());
    assert.equal(outcome.kind, 'sent', JSON.stringify(outcome));
    assert.deepEqual(heard.map((line) => line.split(' ').slice(0, 2).join(' ')).slice(0, 5), [
      'EHLO example.com',
      'STARTTLS',
      'EHLO example.com',
      'AUTH PLAIN',
      'MAIL FROM:<ann@example.com>',
    ]);
  });

  it('that repeats what it was told at the login gives no credentials away', async () => {
    const token = { accessToken: 'ya29.secret-token' };
    const echo: Script[string] = (socket, line) =>
      void socket.write(`535 5.7.8 bad command "${line.toUpperCase()}" (${line.slice(0, 40)})\r\n`);
    const plain = await peer({ AUTH: echo, EHLO: offering('AUTH PLAIN XOAUTH2') });
    const asking: Script[string] = (socket, line) =>
      line === 'AUTH LOGIN' || !line.startsWith('Y29') ? void socket.write('334 VXNlcm5hbWU6\r\n') : echo(socket, line);
    const login = await peer({ EHLO: offering('AUTH LOGIN'), AUTH: asking });
    const spoken = await peer({ AUTH: say('535 5.7.8 "correct horse" is no password of ann') });
    for (const [{ port }, auth] of [
      [plain, AUTH],
      [plain, token],
      [login, AUTH],
      [spoken, AUTH],
    ] as const) {
      const outcome = await smtp.send(serverAt(port), auth, mailTo('kim@example.com'), soon());
      assert.equal(outcome.kind, 'unauthorised', JSON.stringify(outcome));
      assert.match(outcome.reason, /…/);
      assert.doesNotMatch(outcome.reason, /correct|secret-token|Y29ycmVjd|AGFubkB|dXNlcj1|DXNLCJ1|Y29YCMVJD/i);
    }
  });
});
