// Scheduled mails of several nodes that are killed at random moments: each leaves once, but for those that were being
// handed over just then, of which it is found out.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fromWireId } from '../../src/ids.ts';
import { startBareMail } from '../support/bare-mail.ts';
import { type Scheduled, type ScheduleGround, startScheduleGround } from '../support/schedule-ground.ts';
import { eventually } from '../support/service.ts';

const ROUNDS = 3;
const OF_A_ROUND = 24;
const posix = process.platform === 'win32' ? { skip: 'needs signals' } : {};

it('mails of the practice mailbox', async (t) => {
  const ground = await startScheduleGround(2);
  t.after(() => ground.close());
  const { states, cancelled, atKill } = await hammer(ground, ground.grant);
  const told = { sent: 0, failed: 0, cancelled: 0 };
  for (const [mail, state] of states) {
    const kept = await ground.kept(mail);
    if (state === 'sent') {
      told.sent += 1;
      assert.equal(kept, 1);
      await ground.isTold('message.send_success', mail);
    } else if (state === 'failed') {
      told.failed += 1;
      assert.ok(atKill.has(mail.id), 'only what was being handed over can be lost');
      assert.equal(kept, 0);
      await ground.isTold('message.send_failed', mail);
    } else {
      told.cancelled += 1;
      assert.equal(state, 'cancelled');
      assert.equal(kept, 0);
    }
    assert.ok(
      !cancelled.has(mail.id) || state === 'cancelled',
      `${state}, though its caller was told that it is cancelled`,
    );
  }
  for (const [mail, state] of states) {
    assert.equal(ground.told('message.send_success', mail).length, state === 'sent' ? 1 : 0);
    assert.equal(ground.told('message.send_failed', mail).length, state === 'failed' ? 1 : 0);
  }
  assert.ok(told.sent > ROUNDS * 10);
  t.diagnostic(JSON.stringify(told));
});

it('mails through an SMTP server', async (t) => {
  const server = await startBareMail();
  const ground = await startScheduleGround(2, { TELLTALE_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8' });
  t.after(async () => {
    await ground.close();
    await server.close();
  });
  const { smtp, imap } = server.credentials;
  const connected = await ground.nodes.api('POST', '/v3/connect/custom', {
    provider: 'imap',
    settings: {
      imap_username: imap.user,
      imap_password: imap.password,
      imap_host: imap.host,
      imap_port: imap.port,
      smtp_host: smtp.host,
      smtp_port: smtp.port,
    },
  });
  assert.equal(connected.status, 201, connected.text);
  const { states, cancelled, atKill } = await hammer(ground, String(connected.at('data.id')));
  const counts = new Map<string, number>();
  for (const raw of server.delivered()) {
    const subject = /^Subject: (.+)\r$/m.exec(raw.toString('latin1'))?.[1] ?? '';
    counts.set(subject, (counts.get(subject) ?? 0) + 1);
  }
  const told = { sent: 0, open: 0, cancelled: 0 };
  for (const [mail, state] of states) {
    const delivered = counts.get(String(mail.answer.at('data.subject'))) ?? 0;
    if (state === 'sent') {
      told.sent += 1;
      assert.equal(delivered, 1);
    } else if (state === 'cancelled') {
      told.cancelled += 1;
      assert.equal(delivered, 0);
    } else {
      told.open += 1;
      assert.equal(state, 'unknown');
      assert.ok(atKill.has(mail.id), 'only of what was being handed over nobody can know');
      assert.ok(delivered <= 1);
    }
    assert.ok(
      !cancelled.has(mail.id) || state === 'cancelled',
      `${state}, though its caller was told that it is cancelled`,
    );
  }
  assert.ok(told.sent > ROUNDS * 10);
  t.diagnostic(JSON.stringify(told));
});

it('mails of a node that was frozen, and of the one that took its claims over', posix, async (t) => {
  const ground = await startScheduleGround(2);
  t.after(() => ground.close());
  const { nodes } = ground;
  const mails: Scheduled[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const some = await Promise.all(
      Array.from({ length: OF_A_ROUND }, (_, at) => ground.schedule(`Mail ${round}.${at}`, { tracking_options: {} })),
    );
    mails.push(...some);
    await ground.due(some);
    await delay(Math.random() * 600);
    nodes.node(0).child.kill('SIGSTOP');
    // Where it was frozen within a transaction neither we nor the other one can have what that has locked.
    await nodes.sql`
      update schedules set next_try_at = now()
      where id in (select id from schedules where next_try_at > now() for update skip locked)`;
    await eventually('the other one is done', () => noneIs(ground, ['scheduled']), 2_000).catch(() => {});
    nodes.node(0).child.kill('SIGCONT');
    await eventually('all were sent', () => noneIs(ground, ['scheduled', 'sending']));
  }
  for (const mail of mails) {
    assert.equal(await ground.kept(mail), 1);
    await ground.isTold('message.send_success', mail);
  }
  for (const mail of mails) assert.equal(ground.told('message.send_success', mail).length, 1);
});

async function noneIs({ nodes: { sql } }: ScheduleGround, states: readonly string[]): Promise<true | undefined> {
  const rows = await sql`select from messages where state = any(${[...states]}::text[]) limit 1`;
  return rows.length === 0 ? true : undefined;
}

interface Hammered {
  readonly states: ReadonlyMap<Scheduled, string>;
  /** Messages whose callers were answered that they are cancelled. */
  readonly cancelled: ReadonlySet<string>;
  /** Messages that were being handed over when a node was killed. */
  readonly atKill: ReadonlySet<string>;
}

async function hammer(ground: ScheduleGround, grant: string): Promise<Hammered> {
  const { nodes } = ground;
  const { sql } = nodes;
  const mails: Scheduled[] = [];
  const cancelled = new Set<string>();
  const atKill = new Set<string>();
  const sending = () => sql<{ id: string }[]>`select id from messages where state = 'sending'`;
  for (let round = 0; round < ROUNDS; round++) {
    const some = await Promise.all(
      Array.from({ length: OF_A_ROUND }, (_, at) =>
        ground.schedule(`Mail ${round}.${at}`, { tracking_options: {} }, grant),
      ),
    );
    mails.push(...some);
    await ground.due(some);
    const stopping = some.slice(0, 3).map(async (mail) => {
      await delay(Math.random() * 300);
      const answer = await ground.cancel(mail, grant).catch(() => null); // killed
      if (answer?.status === 202) cancelled.add(mail.id);
    });
    await delay(200 + Math.random() * 500); // they are looked for twice a second
    const dead = round % 3 === 2 ? [0, 1] : [round % 2];
    // Those of the other node are among them, which do no harm.
    for (const { id } of await sending()) atKill.add(id);
    await Promise.all(dead.map((at) => nodes.kill(at)));
    for (const { id } of await sending()) atKill.add(id);
    await Promise.all(stopping);
    await Promise.all(dead.map((at) => nodes.start(at)));
  }

  await Promise.all([nodes.kill(0), nodes.kill(1)]);
  for (const { id } of await sending()) atKill.add(id);
  // The claims of the dead have run out, and what they were handing over is old enough to be looked up.
  await sql`update schedules set next_try_at = now() where next_try_at > now() and attempts = 0`;
  await sql`update messages set state_at = state_at - interval '10 minutes' where state = 'sending'`;
  await Promise.all([nodes.start(0), nodes.start(1)]);
  await eventually('all have come to rest', () => noneIs(ground, ['scheduled', 'sending']), 60_000);
  const states = new Map<Scheduled, string>();
  for (const mail of mails) {
    const [row] = await sql<{ state: string }[]>`select state from messages where id = ${fromWireId('msg', mail.id)}`;
    states.set(mail, row?.state ?? 'gone');
  }
  return { states, cancelled, atKill: new Set([...atKill].map((id) => wire(mails, id))) };
}

function wire(mails: readonly Scheduled[], id: string): string {
  return mails.find((mail) => fromWireId('msg', mail.id) === id)?.id ?? id;
}
