import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notifyRun, until } from '../../test/support/notify-run.ts';
import { rest } from '../../test/support/resting.ts';
import { ensurePartitions } from '../db/partitions.ts';
import { uuidv7 } from '../ids.ts';
import { prune, startRetention } from './retention.ts';

const DAY_MS = 24 * 3_600_000;
const QUIET = { info: () => {}, warn: () => {}, error: () => {} };

test('what is older than the limit goes by the week, and nothing waits for ever', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const { sql, app } = ground;
  const now = Date.now();
  const old = now - 30 * DAY_MS;
  await ensurePartitions(sql, old);
  const served = (await ground.destination((await receiver()).url)).id;
  const paused = (await ground.destination('https://paused.test/hook', { status: 'paused' })).id;
  const [, young = ''] = await rest(ground, served, [{ at: old }, { at: now }]);
  const [ancient = ''] = await rest(ground, paused, [{ at: old }]);
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
    select ${app}::integer, destination_id, notification_id, now()
    from unnest(${[served, paused, paused]}::uuid[], ${[ancient, ancient, young]}::uuid[])
      as waiting (destination_id, notification_id)`;
  const pruned = await prune({ sql, log: QUIET }, now - 14 * DAY_MS);
  assert.equal(pruned.pending, 1);
  assert.deepEqual([...new Set(pruned.partitions.map((name) => name.split('_')[0]))].sort(), [
    'attempts',
    'deliveries',
    'notifications',
  ]);
  assert.deepEqual(
    (await sql`select notification_id from deliveries`).map((row) => row.notification_id),
    [young],
  );
  assert.deepEqual(
    (await sql`select id from notifications`).map((row) => row.id),
    [young],
  );

  const notify = start();
  await until('what is gone is given up', async () => {
    const left = await sql`select destination_id from pending_deliveries where notification_id = ${ancient}`;
    return left.length === 0;
  });
  assert.equal(notify.counts.attempts.gone, 1);
  assert.deepEqual([...(await sql`select destination_id from pending_deliveries`)], [{ destination_id: paused }]);
  assert.deepEqual(await prune({ sql, log: QUIET }, now - 14 * DAY_MS), { partitions: [], pending: 0 });
});

test('a notification that stayed open above the flood guard is forgotten with its week', async (t) => {
  const { ground } = await notifyRun(t);
  const { sql, app } = ground;
  const now = Date.now();
  const hook = (await ground.destination('https://receiver.test/hook')).id;
  const [young = ''] = await rest(ground, hook, [{ at: now }]);
  for (const id of [young, uuidv7(now - 30 * DAY_MS)]) {
    await sql`insert into coalescing_notifications values (${app}, ${uuidv7()}, 'message.opened', ${id})`;
  }
  await prune({ sql, log: QUIET }, now - 14 * DAY_MS);
  const left = await sql`select notification_id from coalescing_notifications`;
  assert.deepEqual(
    left.map((row) => row.notification_id),
    [young],
  );
});

test('it prunes by itself when it starts, and never where everything is kept', async (t) => {
  const { ground } = await notifyRun(t);
  const { sql } = ground;
  const old = Date.now() - 30 * DAY_MS;
  await ensurePartitions(sql, old, 0);
  const left = (): Promise<readonly unknown[]> =>
    sql`select from pg_class where relname like 'notifications_w%' and relkind = 'r'`;
  const before = (await left()).length;
  await startRetention({ sql, log: QUIET, days: 0 }).stop();
  assert.equal((await left()).length, before);
  const retention = startRetention({ sql, log: QUIET, days: 14 });
  await until('the old week is dropped', async () => (await left()).length === before - 1);
  await retention.stop();
});
