import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { databaseGate } from '../../test/support/database-gate.ts';
import { type Called, type Sender, startSender } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { connect } from '../db/pool.ts';
import { deleteGrant, expireGrant, type Grant } from '../grants/grants.ts';
import { openPracticeGrant } from '../grants/practice-mail.ts';
import { fromWireId } from '../ids.ts';
import { wholeOf } from '../providers/mail-bytes.ts';
import type { OutgoingMail, PracticeCredentials, Provider, SendOutcome } from '../providers/provider.ts';
import { depart } from './departure.ts';
import { recoverSends } from './recover.ts';
import { claimDue, makeRelease, tidySchedules } from './schedule-queue.ts';
import { type Scheduler, type SchedulerDeps, startScheduler } from './scheduler.ts';

interface Handed {
  readonly grantId: string;
  readonly mail: OutgoingMail;
  readonly text: string;
}

let sender: Sender;
let handed: Handed[] = [];
let answers: (grantId: string) => Promise<SendOutcome> | SendOutcome | null = () => null;
let schedulers: Scheduler[] = [];

before(async () => {
  sender = await startSender((deps) => {
    const practice: Provider<PracticeCredentials> = {
      ...deps.providers.practice,
      async send(account, _access, mail) {
        handed.push({
          grantId: account.grantId,
          mail,
          text: (await wholeOf(mail.raw)).toString().replaceAll('=\r\n', ''),
        });
        const { messageId } = mail;
        return (await answers(account.grantId)) ?? { kind: 'sent', messageId, refused: [] };
      },
    };
    return { ...deps, providers: { ...deps.providers, practice }, deadlineMs: 60_000 };
  });
});
after(async () => {
  await sender.close();
});
beforeEach(async () => {
  handed = [];
  answers = () => null;
  await sender.database.sql`delete from schedules`;
  await sender.database.sql`delete from outbox`;
});
afterEach(async () => {
  await Promise.all(schedulers.map((scheduler) => scheduler.close()));
  schedulers = [];
});

function start(change: Partial<SchedulerDeps> = {}): Scheduler {
  const scheduler = startScheduler({ ...sender.deps, graceMs: 3_600_000, pollMs: 20, ...change });
  schedulers.push(scheduler);
  return scheduler;
}

const WANTED = { most: 5, bytes: 1e6, ofAGrant: 5, underWay: new Map<string, number>(), graceMs: 3_600_000 };
const BODY = '<p>Hello <a href="https://example.com/demo">demo</a></p>';

/** Scheduled for in an hour, and answered as such. */
async function scheduled(change: object = {}, grant: Grant = sender.grant): Promise<Called> {
  const answer = await sender.call('POST', `/v3/grants/${grant.id}/messages/send`, {
    to: [{ email: 'kim@example.com' }],
    subject: 'Later',
    body: BODY,
    send_at: Math.floor(Date.now() / 1000) + 3600,
    ...change,
  });
  assert.equal(answer.status, 200, answer.text);
  return answer;
}

/** Makes what waits due, `late` seconds after its time. */
async function due(late = 0): Promise<void> {
  await sender.database.sql`
    update schedules set send_at = now() - ${late}::float8 * interval '1 second', next_try_at = now() where mail is not null`;
}

async function grantOf(email: string): Promise<Grant> {
  return (await openPracticeGrant(sender.deps, sender.grant.app, { email })).grant;
}

/** Resolves once `holds` does not throw any more. */
async function until(holds: () => Promise<void> | void): Promise<void> {
  let last: unknown;
  await eventually('what was asserted', async () => {
    try {
      await holds();
      return true;
    } catch (error) {
      last = error;
      return undefined;
    }
  }).catch(() => {
    throw last;
  });
}

async function statusOf(answer: Called): Promise<unknown> {
  return (await shown(answer)).at('data.status.code');
}

async function shown(answer: Called): Promise<Called> {
  const id = answer.at('data.schedule_id');
  return await sender.call('GET', `/v3/grants/${answer.at('data.grant_id')}/messages/schedules/${id}`);
}

async function facts(): Promise<Record<string, unknown>[]> {
  const rows = await sender.database.sql<{ trigger: string; detail: object }[]>`
    select trigger, detail from outbox where trigger like 'message.send%'`;
  return rows.map(({ trigger, detail }) => ({ trigger, ...detail }));
}

async function left(): Promise<number> {
  const [row] = await sender.database.sql<{ count: number }[]>`
    select (select count(*) from schedules where mail is not null)::integer + (select count(*) from blobs)::integer as count`;
  return row?.count ?? Number.NaN;
}

describe('a scheduled mail', () => {
  it('leaves at its time and not before, tracked as it was scheduled, and is told', async () => {
    const answer = await scheduled({
      tracking_options: { opens: true, links: true, label: 'later' },
      attachments: [
        { filename: 'a.txt', content_type: 'text/plain', content: Buffer.from('attached!').toString('base64') },
      ],
    });
    start();
    await until(async () => assert.equal(await statusOf(answer), 'pending'));
    assert.equal(handed.length, 0);
    await due();
    await until(async () => assert.equal(await statusOf(answer), 'success'));
    assert.equal(handed.length, 1);
    const { mail, text } = handed[0] ?? assert.fail();
    assert.deepEqual(mail.envelope.to, ['kim@example.com']);
    assert.match(text, /https:\/\/track\.example\.test\/c\//);
    assert.match(text, /https:\/\/track\.example\.test\/o\//);
    assert.match(text, new RegExp(Buffer.from('attached!').toString('base64')));
    assert.match(text, new RegExp(`Message-ID: <${fromWireId('msg', String(answer.at('data.id')))}@`));
    const closed = await shown(answer);
    assert.equal(typeof closed.at('data.close_time'), 'number');
    const [fact, ...others] = await facts();
    assert.deepEqual(others, []);
    assert.equal(fact?.trigger, 'message.send_success');
    assert.equal(fact?.schedule_id, answer.at('data.schedule_id'));
    assert.equal(fact?.send_at, closed.at('data.send_at'));
    assert.equal(fact?.subject, 'Later');
    await until(async () => assert.equal(await left(), 0));
  });

  it('leaves once, however many processes look', async () => {
    const all = await Promise.all(Array.from({ length: 60 }, () => scheduled()));
    for (let at = 0; at < 4; at++) start();
    await due();
    await until(async () => {
      for (const answer of all) assert.equal(await statusOf(answer), 'success');
    });
    assert.equal(handed.length, 60);
    assert.equal(new Set(handed.map(({ mail }) => mail.messageId)).size, 60);
  });

  it('is not lost with a process that dies before it hands it over, and is not sent twice by one that comes late', async () => {
    const answer = await scheduled();
    await due();
    const { sql } = sender.deps;
    const [dead, ...none] = await claimDue(sql, WANTED);
    assert.ok(dead);
    assert.deepEqual(none, []);
    assert.deepEqual(await claimDue(sql, WANTED), []);
    await sql`update schedules set next_try_at = now()`;
    start();
    await until(async () => assert.equal(await statusOf(answer), 'success'));
    assert.equal(await makeRelease(sql)(dead), false);
    assert.equal(handed.length, 1);
  });

  it('does not leave once it is cancelled', async () => {
    const answer = await scheduled();
    const path = `/v3/grants/${sender.grant.id}/messages/schedules/${answer.at('data.schedule_id')}`;
    const stopped = await sender.call('DELETE', path);
    assert.deepEqual([stopped.status, stopped.at('data.message')], [202, 'requested cancelation for workflow']);
    assert.equal(await left(), 0);
    const { sql } = sender.deps;
    await sql`update schedules set next_try_at = now()`;
    assert.deepEqual(await claimDue(sql, { ...WANTED, graceMs: 0 }), []);
    const again = await sender.call('DELETE', path);
    assert.equal(again.status, 400);
    assert.match(String(again.at('error.message')), /^schedule_id cannot be cancelled any more: .*cancelled/);
    assert.equal(await statusOf(answer), 'cancelled');
    assert.deepEqual(await facts(), []);
  });

  it('cannot be cancelled while it is handed over, and not after', async () => {
    let answerNow = (): void => {};
    answers = () =>
      new Promise((resolve) => {
        answerNow = () => resolve({ kind: 'failed', reason: '550 no' });
      });
    const answer = await scheduled();
    start();
    await due();
    await until(() => assert.equal(handed.length, 1));
    const path = `/v3/grants/${sender.grant.id}/messages/schedules/${answer.at('data.schedule_id')}`;
    assert.equal((await sender.call('DELETE', path)).status, 400);
    answerNow();
    await until(async () => assert.equal(await statusOf(answer), 'failed'));
    assert.equal((await sender.call('DELETE', path)).status, 400);
    const [fact] = await facts();
    assert.equal(fact?.trigger, 'message.send_failed');
    assert.match(String((await shown(answer)).at('data.status.description')), /550 no/);
  });

  it('is sent late within the grace, and fails with the reason after it', async () => {
    const inTime = await scheduled();
    const late = await scheduled();
    await due(3500);
    await sender.database.sql`
      update schedules set send_at = now() - interval '2 hours' where id = ${String(late.at('data.schedule_id'))}`;
    start();
    await until(async () => assert.equal(await statusOf(inTime), 'success'));
    await until(async () => assert.equal(await statusOf(late), 'failed'));
    assert.equal(handed.length, 1);
    const fact = (await facts()).find(({ trigger }) => trigger === 'message.send_failed');
    assert.equal(fact?.schedule_id, late.at('data.schedule_id'));
    assert.match(JSON.stringify(fact?.failure), /could not be within 60 minutes after that/);
    await until(async () => assert.equal(await left(), 0));
  });

  it('is handed over again while its provider cannot be reached, and fails when that goes on', async () => {
    const outcomes: SendOutcome[] = [
      { kind: 'unreachable', reason: 'away' },
      { kind: 'deferred', reason: '450 later' },
      { kind: 'throttled', reason: '421 slow down' },
    ];
    answers = () => outcomes.shift() ?? null;
    const answer = await scheduled();
    start({ waits: [30, 30, 30] });
    await due();
    await until(async () => assert.equal(await statusOf(answer), 'success'));
    assert.equal(handed.length, 4);
    assert.deepEqual(
      (await facts()).map(({ trigger }) => trigger),
      ['message.send_success'],
    );

    answers = () => ({ kind: 'unreachable', reason: 'still away' });
    const failing = await scheduled();
    await due();
    await until(async () => assert.equal(await statusOf(failing), 'failed'));
    assert.equal(handed.length, 4 + 4);
    assert.match(String((await shown(failing)).at('data.status.description')), /still away/);
  });

  it('is not handed over again where it may have gone out; recovery finds out and tells', async () => {
    answers = () => ({ kind: 'unknown', reason: 'silence' });
    const answer = await scheduled();
    const { sql } = sender.deps;
    await sql`update messages set created_at = created_at - interval '20 days'`; // it was scheduled that long before
    start({ waits: [1] });
    await due();
    await until(async () => assert.equal(await statusOf(answer), 'sending'));
    await until(() => assert.equal(handed.length, 1));
    await until(async () => {
      const [row] = await sql<{ state: string }[]>`select state from messages order by id desc limit 1`;
      assert.equal(row?.state, 'unknown');
    });
    await sql`update messages set state_at = state_at - interval '20 minutes'`;
    await recoverSends(sender.deps);
    assert.equal(await statusOf(answer), 'failed');
    const [fact] = await facts();
    assert.deepEqual([fact?.trigger, fact?.schedule_id], ['message.send_failed', answer.at('data.schedule_id')]);
    assert.equal(handed.length, 1);
    await tidySchedules(sql);
    assert.equal(await left(), 0);
  });

  it('is erased once nobody looks for it any more, or its grant is deleted', async () => {
    const { sql } = sender.deps;
    answers = () => ({ kind: 'unknown', reason: 'silence' });
    const gone = await grantOf('unknown@practice.test');
    const attachments = [{ filename: 'a', content: 'YQ==' }];
    const all = [await scheduled({ attachments }), await scheduled({ attachments }, gone)];
    start();
    await due();
    const ids = all.map((answer) => fromWireId('msg', String(answer.at('data.id'))) ?? '');
    await until(async () => {
      assert.equal((await sql`select from messages where id = any(${ids}::uuid[]) and state = 'unknown'`).length, 2);
    });
    await tidySchedules(sql);
    assert.equal(await left(), 4);
    await deleteGrant(sql, gone.app, gone.id);
    await tidySchedules(sql);
    assert.equal(await left(), 2);
    await sql`update messages set created_at = now() - interval '49 hours' where id = any(${ids}::uuid[])`;
    await tidySchedules(sql);
    assert.equal(await left(), 0);
  });

  it('waits for a database that goes away while it is put off', async () => {
    const gate = await databaseGate(sender.database.connection);
    const sql = connect(gate.connection);
    let opened: Promise<void> | null = null;
    answers = async (): Promise<SendOutcome> => {
      if (opened !== null) return { kind: 'sent', messageId: '<x@y>', refused: [] };
      await gate.shut();
      opened = new Promise((resolve) => setTimeout(resolve, 100)).then(() => gate.open());
      return { kind: 'unreachable', reason: 'away' };
    };
    try {
      const answer = await scheduled();
      start({ sql, waits: [1] });
      await due();
      await until(async () => assert.equal(await statusOf(answer), 'success'));
      assert.equal(handed.length, 2);
    } finally {
      await opened;
      await Promise.all(schedulers.map((scheduler) => scheduler.close()));
      await sql.end({ timeout: 1 });
      await gate.close();
    }
  });

  it('is not handed over by a process that stood still, but by the next', async (t) => {
    const { sql } = sender.deps;
    const answer = await scheduled();
    await due();
    const [mine] = await claimDue(sql, WANTED);
    assert.ok(mine);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const frozen = await depart({ ...sender.deps, graceMs: 3_600_000 }, mine, async () => {
      const released = await makeRelease(sql)(mine);
      t.mock.timers.tick(31_000);
      return released;
    });
    t.mock.timers.reset();
    assert.deepEqual([frozen, handed.length], ['putOff', 0]);
    start();
    await until(async () => assert.equal(await statusOf(answer), 'success'));
    assert.equal(handed.length, 1);
  });

  it('waits until there is room for it in memory', async () => {
    const { sql } = sender.deps;
    for (let at = 0; at < 3; at++) await scheduled({ body: 'x'.repeat(10_000) });
    await due();
    assert.equal((await claimDue(sql, { ...WANTED, bytes: 15_000 })).length, 2);
    assert.equal((await claimDue(sql, { ...WANTED, bytes: 1 })).length, 1);
  });

  it('is found with little reading among thousands, also with old statistics', async () => {
    const { sql } = sender.deps;
    const put = (count: number, at: string | null) => sql`
      insert into schedules (app, id, grant_id, message_id, send_at, next_try_at, mail)
      select ${sender.grant.app}, gen_random_uuid(), ${sender.grant.id}, gen_random_uuid(), now(), ${at}::timestamptz,
        '{"mail":{"attachments":[]}}' from generate_series(1, ${count}::integer)`;
    await put(1000, null);
    await sql`analyze schedules`;
    await put(5000, '2020-01-01');
    const read = async (): Promise<number> => {
      await sql`select pg_stat_force_next_flush()`;
      const [row] = await sql<{ read: string }[]>`
        select seq_tup_read + idx_tup_fetch as read from pg_stat_user_tables where relname = 'schedules'`;
      return Number(row?.read);
    };
    const one = connect(sender.database.connection, { max: 1 });
    try {
      const before = await read();
      assert.equal((await claimDue(one, { ...WANTED, most: 16 })).length, 5);
      await one`select pg_stat_force_next_flush()`;
      await one`select 1`;
      const tuples = (await read()) - before;
      assert.ok(tuples > 0 && tuples < 1000, `${tuples} rows were read`);
    } finally {
      await one.end({ timeout: 1 });
    }
  });

  it('fails with an expired grant, and is erased with a deleted one', async () => {
    const { sql } = sender.deps;
    const expired = await grantOf('expired@practice.test');
    const first = await scheduled({}, expired);
    await expireGrant(sql, expired.app, expired.id);
    start();
    await due();
    await until(async () => {
      const [row] =
        await sql`select from messages where id = ${fromWireId('msg', String(first.at('data.id')))} and state = 'failed'`;
      assert.ok(row);
    });
    assert.equal((await facts())[0]?.trigger, 'message.send_failed');
    assert.match(JSON.stringify(await facts()), /authenticate/i);

    const deleted = await grantOf('deleted@practice.test');
    await scheduled({ attachments: [{ filename: 'a', content: 'YQ==' }] }, deleted);
    await deleteGrant(sql, deleted.app, deleted.id);
    await tidySchedules(sql);
    assert.equal(await left(), 0);
    assert.equal((await facts()).length, 1);
    assert.deepEqual(handed, []);
  });

  it('that is tracked does not leave from an application that may not track any more', async () => {
    const { sql } = sender.deps;
    const answer = await scheduled({ tracking_options: { opens: true } });
    await sql`update applications set environment = 'sandbox' where serial = ${sender.grant.app}`;
    try {
      start();
      await due();
      await until(async () => assert.equal(await statusOf(answer), 'failed'));
      const text = String((await shown(answer)).at('data.status.description'));
      assert.match(text, /Tracking options are not allowed for trial accounts/);
      assert.deepEqual(handed, []);
    } finally {
      await sql`update applications set environment = 'production' where serial = ${sender.grant.app}`;
    }
  });

  it('does not wait behind a mailbox that says nothing', async () => {
    const silent = await grantOf('silent@practice.test');
    let free = (): void => {};
    const freed = new Promise<void>((resolve) => {
      free = resolve;
    });
    answers = async (grantId): Promise<SendOutcome> => {
      if (grantId === silent.id) await freed;
      return { kind: 'sent', messageId: '<x@y>', refused: [] };
    };
    for (let at = 0; at < 20; at++) await scheduled({}, silent);
    await due(60);
    const other = await scheduled();
    start();
    await sender.database
      .sql`update schedules set next_try_at = now() where id = ${String(other.at('data.schedule_id'))}`;
    await until(async () => assert.equal(await statusOf(other), 'success'));
    assert.ok(handed.filter(({ grantId }) => grantId === silent.id).length <= 4);
    free();
    await until(() => assert.equal(handed.length, 21));
  });
});
