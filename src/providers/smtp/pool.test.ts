import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loopbackNetwork, mailTo, serverAt } from '../../../test/support/smtp-ground.ts';
import {
  hangUp,
  reset,
  type Script,
  type SmtpPeer,
  say,
  sayAndHangUp,
  silence,
  smtpPeer,
} from '../../../test/support/smtp-peer.ts';
import { makeSmtp, type Smtp, type SmtpLimits } from './smtp.ts';

const AUTH = { password: 'correct horse' };
const ends: (() => Promise<void>)[] = [];
after(async () => {
  for (const end of ends) await end();
});

function smtpWith(limits: Partial<SmtpLimits> = {}): Smtp {
  const smtp = makeSmtp({ network: loopbackNetwork(), limits });
  ends.unshift(() => smtp.close());
  return smtp;
}

async function peer(scriptOf: (connection: number) => Script = () => ({})): Promise<SmtpPeer> {
  const made = await smtpPeer(scriptOf);
  ends.push(() => made.close());
  return made;
}

/** A script that is looked up anew at every step. */
function changing(current: () => Script): Script {
  return new Proxy({}, { get: (_target, verb) => current()[String(verb)] });
}

const soon = (): AbortSignal => AbortSignal.timeout(20_000);

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !holds(); tries++) await sleep(10);
  assert.ok(holds(), holds.toString());
}

describe('the connections of a mailbox', () => {
  it('are three at most for five hundred mails', async () => {
    const server = await peer();
    const smtp = smtpWith({ mailsPerConnection: 1000 });
    const outcomes = await Promise.all(
      Array.from({ length: 500 }, () => smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), soon())),
    );
    assert.ok(outcomes.every(({ kind }) => kind === 'sent'));
    assert.equal(server.mails.length, 500);
    assert.ok(server.connections <= 3, `${server.connections}`);
    assert.equal(server.heard.filter((line) => line === 'RSET').length, 0);
  });

  it('are left after so many mails', async () => {
    const server = await peer();
    const smtp = smtpWith({ mailsPerConnection: 10, connections: 1 });
    await Promise.all(
      Array.from({ length: 35 }, () => smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), soon())),
    );
    assert.equal(server.mails.length, 35);
    assert.equal(server.connections, 4);
    assert.equal(server.heard.filter((line) => line === 'QUIT').length, 3);
  });

  it('are used in the order of asking', async () => {
    const server = await peer();
    const smtp = smtpWith({ connections: 1 });
    const mails = Array.from({ length: 20 }, () => mailTo('kim@example.com'));
    await Promise.all(mails.map((mail) => smtp.send(serverAt(server.port), AUTH, mail, soon())));
    assert.deepEqual(
      server.mails.map((mail) => /<\S+>/.exec(mail)?.[0]),
      mails.map(({ messageId }) => messageId),
    );
  });

  it('are given up when nobody needs them, and nothing is left behind', async () => {
    const servers = await Promise.all([peer(), peer(), peer()]);
    const smtp = smtpWith({ idleMs: 50 });
    for (let round = 0; round < 3; round++) {
      await Promise.all(servers.map(({ port }) => smtp.send(serverAt(port), AUTH, mailTo('kim@example.com'), soon())));
      assert.equal(smtp.mailboxes, 3);
      await until(() => smtp.mailboxes === 0);
      await until(() => servers.every(({ open }) => open === 0));
    }
    assert.deepEqual(
      servers.map(({ connections }) => connections),
      [3, 3, 3],
    );
    assert.ok(servers.every(({ heard }) => heard.filter((line) => line === 'QUIT').length === 3));
  });

  it('are kept for the mailboxes used last, where there are many', async () => {
    const server = await peer();
    const smtp = smtpWith({ kept: 5 });
    for (let box = 0; box < 40; box++) {
      const mailbox = serverAt(server.port, { user: `box${box}@example.com` });
      assert.equal((await smtp.send(mailbox, AUTH, mailTo('kim@example.com'), soon())).kind, 'sent');
    }
    await until(() => smtp.mailboxes === 5 && server.open === 5);
    await smtp.send(serverAt(server.port, { user: 'box39@example.com' }), AUTH, mailTo('kim@example.com'), soon());
    assert.equal(server.connections, 40);
  });

  it('do not keep the process alive while they are idle', async () => {
    const server = await peer();
    const smtp = smtpWith();
    const mine = (): number =>
      process.getActiveResourcesInfo().filter((name) => /^(TCPSocketWrap|Timeout)$/.test(name)).length;
    const before = mine();
    await smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), AbortSignal.any([]));
    assert.equal(server.open, 1);
    assert.equal(mine() - before, 1); // the peer's own end
  });

  it('are those of one password', async () => {
    const server = await peer();
    const smtp = smtpWith({ connections: 1 });
    const send = (password: string): Promise<unknown> =>
      smtp.send(serverAt(server.port), { password }, mailTo('kim@example.com'), soon());
    await send('one');
    await send('one');
    assert.equal(server.connections, 1);
    await send('two');
    await Promise.all([send('one'), send('two'), send('two')]);
    assert.equal(server.connections, 4);
    assert.equal(server.mails.length, 6);
    assert.equal(server.heard.filter((line) => line.startsWith('AUTH')).length, 4);
    await until(() => server.open === 1);
  });

  const STALE: readonly (readonly [string, Script])[] = [
    ['hung up at MAIL', { MAIL: hangUp }],
    ['reset at MAIL', { MAIL: reset }],
    ['said 421 to MAIL', { MAIL: sayAndHangUp('421 4.4.2 Timeout, closing connection') }],
    ['hung up at RCPT', { RCPT: hangUp }],
    ['hung up at DATA', { DATA: hangUp }],
  ];
  for (const [what, manners] of STALE) {
    it(`cost no mail when the server has ${what}`, async () => {
      let stale = false;
      const server = await peer((connection) => (connection > 1 ? {} : changing(() => (stale ? manners : {}))));
      const smtp = smtpWith({ connections: 1 });
      assert.equal((await smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), soon())).kind, 'sent');
      stale = true;
      const outcome = await smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), soon());
      assert.equal(outcome.kind, 'sent', JSON.stringify(outcome));
      assert.equal(server.mails.length, 2);
      assert.equal(server.connections, 2);
    });
  }

  it('cost no mail when the server closed them while they were idle', async () => {
    for (const end of [hangUp, reset, sayAndHangUp('421 4.4.2 Idle too long'), sayAndHangUp('451 4.4.2 Idle')]) {
      let close = (): void => {};
      const server = await peer(() => ({
        mail: (socket, line) => {
          say('250 2.0.0 Ok')(socket, line);
          close = () => end(socket, line);
        },
      }));
      const smtp = smtpWith({ connections: 1 });
      for (let mail = 1; mail <= 3; mail++) {
        const outcome = await smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), soon());
        assert.equal(outcome.kind, 'sent', JSON.stringify(outcome));
        close();
        if (mail === 2) await until(() => smtp.mailboxes === 0); // noticed, or not yet
      }
      assert.equal(server.mails.length, 3);
    }
  });

  it('are tried anew once only, and not for a mail that was given', async () => {
    let moody = false;
    const server = await peer(() => changing(() => (moody ? { MAIL: hangUp } : {})));
    const late = await peer(() => changing(() => (moody ? { mail: hangUp } : {})));
    const smtp = smtpWith({ connections: 1 });
    const send = (port: number): ReturnType<Smtp['send']> =>
      smtp.send(serverAt(port), AUTH, mailTo('kim@example.com'), soon());
    assert.equal((await send(server.port)).kind, 'sent');
    assert.equal((await send(late.port)).kind, 'sent');
    moody = true;
    assert.equal((await send(server.port)).kind, 'unreachable');
    assert.equal(server.connections, 2);
    assert.equal((await send(late.port)).kind, 'unknown');
    assert.equal(late.connections, 1);
    assert.equal(late.mails.length, 2);
  });

  it('are set back after a refusal and used on', async () => {
    let refusing = true;
    const no = { MAIL: say('553 5.7.1 Not yours'), DATA: say('503 5.5.1 No') };
    const server = await peer(() => changing(() => (refusing ? no : {})));
    const smtp = smtpWith({ connections: 1 });
    const send = (): ReturnType<Smtp['send']> =>
      smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), soon());
    assert.equal((await send()).kind, 'failed');
    refusing = false;
    assert.equal((await send()).kind, 'sent');
    assert.equal((await send()).kind, 'sent');
    assert.equal(server.connections, 1);
    assert.equal(server.heard.filter((line) => line === 'RSET').length, 1);
  });

  it('are waited for until the time of a call is over', async () => {
    const server = await peer(() => ({ greeting: silence }));
    const smtp = smtpWith({ connections: 1 });
    const first = new AbortController();
    const stuck = smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), first.signal);
    const second = new AbortController();
    const waiting = smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), second.signal);
    second.abort();
    const outcome = await waiting;
    assert.equal(outcome.kind, 'throttled');
    assert.match(outcome.reason, /busy .* nothing was sent/);
    first.abort();
    assert.equal((await stuck).kind, 'unreachable');
    assert.equal(smtp.mailboxes, 0);
    assert.equal(
      (await smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), first.signal)).kind,
      'unreachable',
    );
  });

  it('end together: what is idle is left, what is under way is cut, what waits is turned away', async () => {
    const server = await peer();
    let given = (): void => {};
    const gave = new Promise<void>((resolve) => {
      given = resolve;
    });
    const mute = await peer(() => ({ mail: () => given() }));
    const smtp = smtpWith({ connections: 1 });
    const send = (port: number): ReturnType<Smtp['send']> =>
      smtp.send(serverAt(port), AUTH, mailTo('kim@example.com'), soon());
    await send(server.port);
    const calls = [send(mute.port), send(mute.port)];
    await gave;
    await Promise.all([smtp.close(), smtp.close()]);
    assert.deepEqual(
      (await Promise.all(calls)).map(({ kind }) => kind),
      ['unknown', 'unreachable'],
    );
    assert.equal((await send(server.port)).kind, 'unreachable');
    assert.equal(smtp.mailboxes, 0);
    assert.equal(server.heard.at(-1), 'QUIT');
    await until(() => server.open + mute.open === 0);
  });
});
