import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notifyRun, payloadOf, until } from '../../test/support/notify-run.ts';
import { emit } from '../db/outbox.ts';
import { weekOf } from '../db/partitions.ts';
import { transaction } from '../db/transaction.ts';
import { makeLog } from '../log.ts';
import { claim } from './claiming.ts';
import { fanOut } from './fanout.ts';

test('facts that nobody subscribes to vanish, those of a paused destination are held', async (t) => {
  const { ground, start, receiver, rested, fannedOut } = await notifyRun(t);
  const target = await receiver();
  await ground.destination(target.url, { triggers: ['message.link_clicked'] });
  await ground.destination(`${target.origin}/paused`, { status: 'paused' });
  await ground.destination(`${target.origin}/failed`, { status: 'failed', triggers: ['message.opened'] });
  const message = await ground.message(['https://a.test']);
  const notify = start();
  await ground.happen(message, {}, { link: 0 });
  notify.wakeFanout();
  await target.arrived(1);
  await rested('delivered', 1);
  assert.equal((await rested('held', 3)).length, 3);
  assert.deepEqual(
    target.deliveries.map((request) => request.path),
    ['/hook'],
  );
  await ground.sql`delete from destinations where address like '%paused' or address like '%failed'`;
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await fannedOut();
  const notifications = await ground.sql`select from notifications`;
  assert.equal(notifications.length, 2);
});

test('what a fact tells of its subject goes with it into the notification, beside facts that tell nothing', async (t) => {
  const { ground, receiver } = await notifyRun(t);
  const { sql, app } = ground;
  await ground.destination((await receiver()).url, { triggers: ['message.opened', 'grant.updated', 'grant.expired'] });
  const message = await ground.message();
  const detail = {
    email: 'a "quoted" \\ {address},null@shop.test',
    name: '',
    scope: ['a,b', '"'],
    updated_at: 1,
    on: true,
  };
  const grant = {
    app,
    messageId: null,
    sequence: null,
    linkCounts: null,
    happenedAt: new Date(),
    subject: 'some grant',
  };
  await ground.happen(message, {});
  await emit(sql, [
    { ...grant, trigger: 'grant.updated', detail },
    { ...grant, trigger: 'grant.expired' },
  ]);
  await ground.happen(message, {});
  await fanOut({ sql, log: makeLog('error'), now: Date.now() }, 500);
  const rows = await sql`select trigger, sequence, subject, detail from notifications`;
  assert.deepEqual(
    rows.map((row) => ({ ...row })).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    [
      { trigger: 'grant.expired', sequence: null, subject: 'some grant', detail: null },
      { trigger: 'grant.updated', sequence: null, subject: 'some grant', detail },
      { trigger: 'message.opened', sequence: 0, subject: null, detail: null },
      { trigger: 'message.opened', sequence: 1, subject: null, detail: null },
    ],
  );
});

test('above the guard notifications coalesce, and the last state arrives', async (t) => {
  const { ground, start, receiver, rested, fannedOut } = await notifyRun(t);
  await ground.setting('max_notifications_per_minute', 10);
  const target = await receiver();
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  const message = await ground.message(['https://a.test', 'https://b.test']);
  const others = await ground.message(['https://a.test']);
  const clicks = Array.from({ length: 100 }, (_, at) => ({ link: at % 2, at: clock.ms }));
  await ground.happen(message, ...clicks.slice(0, 60));
  await ground.happen(others, { link: 0, at: clock.ms });
  notify.wakeFanout();
  await target.arrived(11); // ten of the one message and one of the other
  await ground.happen(message, ...clicks.slice(60));
  notify.wakeFanout();
  await fannedOut();
  const waiting = await ground.sql<{ sequence: number }[]>`
    select n.sequence from pending_deliveries p join notifications n on n.id = p.notification_id
    where p.claimed_until is null`;
  assert.deepEqual([...waiting], [{ sequence: 99 }]);
  clock.ms += 6_000; // a tenth of a minute
  notify.wakeDeliver();
  const all = await target.arrived(12);
  assert.deepEqual(payloadOf(all[11]).data.object.link_data, [
    { count: 50, url: 'https://a.test' },
    { count: 50, url: 'https://b.test' },
  ]);
  await rested('delivered', 12);
  assert.equal((await ground.sql`select from coalescing_notifications`).length, 0);
  assert.equal(notify.counts.coalesced, 90);

  // Claimed is closed: what comes later is told by another notification.
  await ground.happen(message, { link: 0, at: clock.ms });
  notify.wakeFanout();
  await until('a new one waits', async () => (await ground.sql`select from coalescing_notifications`).length === 1);
  clock.ms += 6_000;
  notify.wakeDeliver();
  const last = (await target.arrived(13))[12];
  assert.deepEqual(payloadOf(last).data.object.link_data.at(0), { count: 51, url: 'https://a.test' });

  // A minute later the guard is open again.
  clock.ms += 61_000;
  await ground.happen(message, { link: 1, at: clock.ms });
  notify.wakeFanout();
  await target.arrived(14);
  assert.equal(target.deliveries.length, 14);
});

test('a fact that cannot be told is set aside, and the others go their way', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const { sql } = ground;
  const target = await receiver();
  await ground.destination(target.url);
  await sql`alter table notifications add constraint refused check (sequence <> 2)`;
  await ground.happen(await ground.message(), ...Array.from({ length: 7 }, () => ({})));
  await sql`update outbox set happened_at = 'infinity' where sequence = 5`; // more than a Date can hold
  const notify = start();
  notify.wakeFanout();
  await target.arrived(5);
  await rested('delivered', 5);
  const told = target.deliveries.map((request) => payloadOf(request).data.object.message_data.count);
  assert.deepEqual(
    told.sort((a, b) => a - b),
    [1, 2, 4, 5, 7],
  );
  const left = await sql`select sequence from outbox where failed_at is not null order by position`;
  assert.deepEqual(
    left.map((row) => row.sequence),
    [2, 5],
  );
  assert.equal(notify.counts.facts, 7);
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await target.arrived(6);

  // Someone has removed the reason.
  await sql`alter table notifications drop constraint refused`;
  await sql`update outbox set failed_at = null where sequence = 2`;
  notify.wakeFanout();
  assert.equal(payloadOf((await target.arrived(7))[6]).data.object.message_data.count, 3);
});

test('a clock that jumped beyond the last partition gets one', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const target = await receiver();
  await ground.destination(target.url);
  await ground.happen(await ground.message(), {});
  start({ clock: { ms: Date.now() + 70 * 24 * 3_600_000 } }).wakeFanout();
  await target.arrived(1);
  await rested('delivered', 1);
});

test('a claim and a fan-out above the guard do not wait for each other', async (t) => {
  const { ground, receiver } = await notifyRun(t);
  const { sql } = ground;
  await ground.setting('max_notifications_per_minute', 1);
  const { id } = await ground.destination((await receiver()).url);
  const message = await ground.message();
  const now = Date.now();
  const log = makeLog('error');
  await ground.happen(message, { at: now }, { at: now });
  await fanOut({ sql, log, now }, 500); // the second one coalesces
  await ground.happen(message, { at: now });

  const waiters = async (count: number): Promise<boolean> => {
    const rows = await sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    return rows.length === count;
  };
  const { claiming, fanning } = await transaction(sql, async (tx) => {
    await tx`select from notifications where sequence = 1 for update`;
    const fanning = fanOut({ sql, log, now }, 500).catch((error: unknown) => ({ error }));
    await until('the fan-out waits for us', () => waiters(1)); // and holds the coalescing notification
    const claiming = claim(sql, {
      kinds: ['webhook'],
      freshRoom: 10,
      rooms: [],
      limit: 10,
      now: new Date(now + 60_000),
      until: new Date(now + 120_000),
    }).catch((error: unknown) => ({ error }));
    await until('the claim waits for the fan-out', () => waiters(2));
    return { claiming, fanning };
  });
  assert.ok(!('error' in (await fanning)), 'the fan-out went through');
  const claimed = await claiming;
  assert.ok(!('error' in claimed), 'the claim went through');
  assert.deepEqual(
    claimed.map((one) => [one.destinationId, one.round, one.attempt]),
    [
      [id, 0, 1],
      [id, 0, 1],
    ],
  );
  const told = await sql`select sequence from notifications order by sequence`;
  assert.deepEqual(
    told.map((row) => row.sequence),
    [0, 2],
  );
  assert.equal((await sql`select from coalescing_notifications`).length, 0);
});

test('a subscriber that came later is told the newest state of a waiting notification, once', async (t) => {
  const { ground, receiver } = await notifyRun(t);
  const { sql } = ground;
  await ground.setting('max_notifications_per_minute', 1);
  await ground.destination((await receiver()).url);
  const message = await ground.message();
  const now = Date.now();
  const log = makeLog('error');
  await ground.happen(message, { at: now }, { at: now });
  await fanOut({ sql, log, now }, 500);
  const { id } = await ground.destination((await receiver()).url);
  for (let turn = 0; turn < 2; turn++) {
    await ground.happen(message, { at: now });
    await fanOut({ sql, log, now }, 500);
  }
  const rows = await sql`
    select n.sequence from pending_deliveries p join notifications n on n.id = p.notification_id
    where p.destination_id = ${id}`;
  assert.deepEqual(
    rows.map((row) => row.sequence),
    [3],
  );
  assert.equal((await sql`select from pending_deliveries`).length, 3);
});

test('ids that are ahead of a clock that went back find a partition, also over the edge of a week', async (t) => {
  const { ground, receiver } = await notifyRun(t);
  const { sql } = ground;
  await ground.destination((await receiver()).url);
  const message = await ground.message();
  const edge = weekOf(Date.now() + 60 * DAY_MS);
  const told = async (now: number): Promise<number> => {
    await ground.happen(message, {});
    return (await fanOut({ sql, log: makeLog('silent'), now }, 500)).notifications;
  };
  assert.equal(await told(edge + 2_000), 1);
  const day = new Date(edge).toISOString().slice(0, 10).replaceAll('-', '');
  await sql`drop table ${sql(`notifications_w${day}`)}`;
  assert.equal(await told(edge - 2_000), 1);
  assert.equal((await sql`select from outbox`).length, 0);
});

const DAY_MS = 24 * 60 * 60 * 1000;
