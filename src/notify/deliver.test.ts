import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notifyRun, payloadOf, until } from '../../test/support/notify-run.ts';
import { hang, inTurn, status } from '../../test/support/receiver.ts';
import { makeLog } from '../log.ts';
import { fanOut } from './fanout.ts';

test('failures follow the schedule, each attempt is kept, the eighth exhausts', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const target = await receiver(status(500, {}, 'no\u0000pe'));
  await ground.destination(target.url);
  const message = await ground.message();
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  await ground.happen(message, {});
  const waits = [5, 300, 1800, 7200, 18_000, 36_000, 36_000];
  for (const [turn, wait] of [0, ...waits].entries()) {
    clock.ms += wait * 1000;
    notify.wakeFanout();
    await target.arrived(turn + 1);
    await until(
      `attempt ${turn + 1} is kept`,
      async () => (await ground.sql`select from attempts`).length === turn + 1,
    );
  }
  assert.deepEqual(await rested('exhausted', 1), [{ attempts: 8 }]);
  assert.deepEqual(
    target.deliveries.map((request) => payloadOf(request).webhook_delivery_attempt),
    [1, 2, 3, 4, 5, 6, 7, 8],
  );
  const ids = target.deliveries.flatMap((request) => [request.headers['webhook-id'], payloadOf(request).id]);
  assert.equal(new Set(ids).size, 1);
  const signatures = new Set(target.deliveries.map((request) => request.headers['webhook-signature']));
  assert.equal(signatures.size, 8);
  const attempts = await ground.sql`select attempt, outcome, status_code, answer from attempts order by attempt`;
  assert.deepEqual({ ...attempts[7] }, { attempt: 8, outcome: 'status', status_code: 500, answer: 'nope' });
  assert.equal((await ground.sql`select from pending_deliveries`).length, 0);
});

test('nothing is sent a moment before it is due', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const target = await receiver(inTurn(status(500), status(200)));
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await target.arrived(1);
  await until('the first attempt is kept', async () => (await ground.sql`select from attempts`).length === 1);
  clock.ms += 4_999;
  const other = await receiver();
  await ground.destination(other.url);
  await ground.happen(await ground.message(), {}); // fans out to both; when it has arrived, the earlier was passed over
  notify.wakeFanout();
  await other.arrived(1);
  await target.arrived(2);
  assert.notEqual(target.deliveries[1]?.headers['webhook-id'], target.deliveries[0]?.headers['webhook-id']);
  clock.ms += 1;
  notify.wakeDeliver();
  await target.arrived(3);
  assert.equal(target.deliveries[2]?.headers['webhook-id'], target.deliveries[0]?.headers['webhook-id']);
});

test('410 stops, a redirect is not followed, Nylas’s own schedule gives up on a 404', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const inside = await receiver();
  const gone = await receiver(status(410));
  const moved = await receiver(status(302, { location: inside.url }));
  await ground.destination(gone.url);
  await ground.destination(moved.url);
  const notify = start();
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await rested('stopped', 1);
  await until(
    'the redirect is kept',
    async () => (await ground.sql`select from attempts where outcome = 'redirect'`)[0],
  );
  assert.equal(inside.received.length, 0);
  gone.behave(status(404));
  await ground.setting('retry_schedule', 'nylas');
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await rested('stopped', 3); // the 404 and the redirect
});

test('a delivery whose process died is tried again with the next number and the same id', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const target = await receiver(hang);
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const dying = start({ clock, attemptMs: 300 });
  await ground.happen(await ground.message(), {});
  dying.wakeFanout();
  await target.arrived(1);
  // A second process sees the claim, not the attempt; the first one's result comes after the claim was lost.
  const survivor = start({ clock, attemptMs: 300 });
  clock.ms += 20_001;
  target.behave(status(200));
  survivor.wakeDeliver();
  await target.arrived(2);
  await rested('delivered', 1);
  assert.deepEqual(
    target.deliveries.map((request) => payloadOf(request).webhook_delivery_attempt),
    [1, 2],
  );
  assert.equal(target.deliveries[0]?.headers['webhook-id'], target.deliveries[1]?.headers['webhook-id']);
  const both = await until('both attempts are kept', async () => {
    const rows = await ground.sql`select attempt, outcome from attempts order by attempt`;
    return rows.length === 2 ? rows : null;
  });
  assert.deepEqual(
    [...both].map((row) => row.outcome),
    ['timeout', 'ok'],
  );
  assert.deepEqual(await rested('delivered', 1), [{ attempts: 2 }]);
  assert.equal((await ground.sql`select from pending_deliveries`).length, 0);
});

test('a dead destination with a long queue neither slows a live one nor is hammered', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const dead = await receiver(hang);
  const live = await receiver();
  await ground.destination(dead.url, { triggers: ['message.opened'] });
  const notify = start({ attemptMs: 400 });
  const message = await ground.message(['https://a.test']);
  await ground.happen(message, ...Array.from({ length: 300 }, () => ({})));
  notify.wakeFanout();
  await dead.arrived(4); // it starts with four at once
  await ground.destination(live.url, { triggers: ['message.link_clicked'] });
  const waits: number[] = [];
  for (let turn = 1; turn <= 30; turn++) {
    const began = performance.now();
    await ground.happen(message, { link: 0 });
    notify.wakeFanout();
    await live.arrived(turn);
    waits.push(performance.now() - began);
  }
  waits.sort((a, b) => a - b);
  assert.ok((waits[28] ?? 0) < 300, `95 % within ${waits[28]} ms, one of the dead one's attempts takes 400 ms`);
  assert.ok(dead.deliveries.length <= 12, `${dead.deliveries.length} attempts on the dead one`);
});

test('a blocked target is an outcome like any other, and nothing reaches it', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const inside = await receiver();
  await ground.destination(inside.url);
  const notify = start({ allowLoopback: false });
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  const row = await until(
    'the attempt is kept',
    async () => (await ground.sql`select outcome, answer from attempts`)[0],
  );
  assert.deepEqual({ ...row }, { outcome: 'blocked', answer: 'the host leads to a loopback address' });
  assert.equal(inside.connections(), 0);
});

test('what was pending waits while its destination is paused, and goes on afterwards', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const { sql } = ground;
  const target = await receiver(inTurn(status(503), status(200)));
  const other = await receiver();
  const { id } = await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await until('the first attempt is kept', async () => (await sql`select from attempts`).length === 1);
  await sql`update destinations set status = 'paused' where id = ${id}`;
  clock.ms += 60_000;
  await ground.destination(other.url);
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await other.arrived(1);
  assert.equal(target.deliveries.length, 1);
  await sql`update destinations set status = 'active' where id = ${id}`;
  notify.wakeDeliver();
  await target.arrived(2);
  assert.equal(target.deliveries[1]?.headers['webhook-id'], target.deliveries[0]?.headers['webhook-id']);
});

test('a notification whose message is gone stops', async (t) => {
  const { ground, start, receiver, rested, fannedOut } = await notifyRun(t);
  const target = await receiver(status(503));
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await target.arrived(1);
  await fannedOut();
  await until('the first attempt is kept', async () => (await ground.sql`select from attempts`).length === 1);
  await ground.sql`delete from messages`;
  clock.ms += 10_000;
  notify.wakeDeliver();
  assert.deepEqual(await rested('stopped', 1), [{ attempts: 2 }]);
  assert.equal(target.deliveries.length, 1);
});

test('what cannot be read fails by itself on its schedule, the others of its batch are delivered', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const { sql } = ground;
  const target = await receiver();
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  await ground.happen(await ground.message(), ...Array.from({ length: 20 }, () => ({})));
  await fanOut({ sql, log: makeLog('error'), now: clock.ms }, 20);
  const [, bad] = await sql<{ id: string }[]>`select id from notifications order by id`;
  assert.ok(bad);
  await sql`alter table notifications rename to readable`;
  await sql.unsafe(`
    create view notifications as
    select app, id, trigger, message_id, sequence, subject, link_counts, happened_at, created_at,
      case when id = '${bad.id}' then to_jsonb(1 / (sequence - sequence)) else detail end as detail
    from readable`);
  const notify = start({ clock, logLevel: 'silent' });
  await rested('delivered', 19);
  const row = await until(
    'its attempt is kept',
    async () =>
      (await sql`select notification_id, attempt, outcome, status_code, answer from attempts where outcome <> 'ok'`)[0],
  );
  assert.deepEqual(
    { ...row },
    {
      notification_id: bad.id,
      attempt: 1,
      outcome: 'unrenderable',
      status_code: null,
      answer: 'the notification could not be made',
    },
  );
  const [pending] = await sql`select attempts, claimed_until, next_attempt_at from pending_deliveries`;
  assert.deepEqual({ ...pending }, { attempts: 1, claimed_until: null, next_attempt_at: new Date(clock.ms + 5_000) });
  await sql`drop view notifications`;
  await sql`alter table readable rename to notifications`;
  clock.ms += 5_000;
  notify.wakeDeliver();
  await rested('delivered', 20);
  assert.equal(payloadOf(target.deliveries[19]).webhook_delivery_attempt, 2);
});
