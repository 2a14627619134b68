import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notifyRun, until } from '../../test/support/notify-run.ts';
import { rest } from '../../test/support/resting.ts';
import { ensurePartitions, weekOf } from '../db/partitions.ts';
import { uuidTime, uuidv7 } from '../ids.ts';
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
  const pruned = await prune({ sql, log: QUIET, days: 14 }, now);
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
  assert.deepEqual(await prune({ sql, log: QUIET, days: 14 }, now), {
    partitions: [],
    busy: null,
    kept: 0,
    pending: 0,
  });
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
  await prune({ sql, log: QUIET, days: 14 }, now);
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

test('a clock that jumps years ahead drops no more than a month of what is kept', async (t) => {
  const { ground } = await notifyRun(t);
  const { sql } = ground;
  const now = Date.now();
  const hook = (await ground.destination('https://receiver.test/hook')).id;
  const made = async (...days: readonly number[]): Promise<void> => {
    for (const day of days) await ensurePartitions(sql, now + day * DAY_MS, 0);
    await rest(
      ground,
      hook,
      days.map((day) => ({ at: now + day * DAY_MS })),
    );
  };
  const left = async (): Promise<number[]> =>
    (await sql<{ id: string }[]>`select id from notifications order by id`).map(({ id }) =>
      Math.round((uuidTime(id) - now) / DAY_MS),
    );
  await made(0, -7, -14, -21, -28, -35, -42, -49, -56, -63, -70, -77, -84);
  const order = { sql, log: QUIET, days: 90 };
  assert.deepEqual((await prune(order, now)).partitions, []);
  const ahead = 1_000;
  const jumped = now + ahead * DAY_MS;
  const young = (days: readonly number[]): boolean =>
    [0, -7, -14, -21, -28, -35, -42, -49].every((day) => days.includes(day));
  assert.ok((await prune(order, jumped)).kept >= 8);
  assert.ok(young(await left()), String(await left()));
  // Nor once there are notifications of the time it jumped to.
  await made(ahead);
  assert.ok((await prune(order, jumped)).kept >= 8);
  assert.ok(young(await left()));
  // It is back where it was: what lies ahead does not count.
  assert.equal((await prune(order, now)).kept, 0);
  // Or it was no jump: then they go two months later.
  await made(ahead + 20, ahead + 40, ahead + 61);
  assert.equal((await prune(order, jumped + 61 * DAY_MS)).kept, 0);
  assert.deepEqual(
    await left(),
    [0, 20, 40, 61].map((day) => ahead + day),
  );
});

test('a month of nothing is believed, and of a short time half is kept', async (t) => {
  const { ground } = await notifyRun(t);
  const { sql } = ground;
  const now = weekOf(Date.now());
  const hook = (await ground.destination('https://receiver.test/hook')).id;
  const days = [0, -30, -60, -90, -120, -150];
  for (const day of days) await ensurePartitions(sql, now + day * DAY_MS, 0);
  await rest(
    ground,
    hook,
    days.map((day) => ({ at: now + day * DAY_MS })),
  );
  const pruned = await prune({ sql, log: QUIET, days: 90 }, now);
  assert.equal(pruned.kept, 0);
  assert.equal((await sql`select from notifications`).length, 4);
  assert.equal((await prune({ sql, log: QUIET, days: 14 }, now + 1_000 * DAY_MS)).kept, 1);
  assert.equal((await sql`select from notifications`).length, 1);
});

test('what cannot be dropped is said: weeks that are kept at once, one in use after a day, each once a day', async (t) => {
  const { ground } = await notifyRun(t);
  const { sql } = ground;
  const clock = { ms: Date.now() };
  const hook = (await ground.destination('https://receiver.test/hook')).id;
  for (const day of [-40, 0]) await ensurePartitions(sql, clock.ms + day * DAY_MS, 0);
  await rest(ground, hook, [{ at: clock.ms - 40 * DAY_MS }, { at: clock.ms }]);
  const lines: string[] = [];
  const reader = await sql.reserve();
  await reader`begin`;
  await reader`select from attempts limit 1`;
  let runs = 0;
  const retention = startRetention({
    sql,
    log: { ...QUIET, warn: (_fields: object, event?: string) => void lines.push(event ?? '') },
    days: 14,
    clock: { now: () => clock.ms, keep: async () => void runs++ },
  });
  const run = async (hours: number): Promise<readonly string[]> => {
    clock.ms += hours * 3_600_000;
    const before = runs;
    retention.wake();
    await until('it has run', async () => runs > before);
    retention.wake();
    await until('to its end', async () => runs > before + 1);
    return lines.splice(0);
  };
  assert.deepEqual(await run(0), []);
  assert.deepEqual(await run(23), []);
  assert.deepEqual(await run(1), ['notifications.prune_blocked']);
  assert.deepEqual(await run(23), []);
  assert.deepEqual(await run(2), ['notifications.prune_blocked']);
  await reader`commit`;
  reader.release();
  assert.deepEqual(await run(24), []);
  assert.equal((await sql`select from notifications`).length, 1);
  assert.deepEqual(await run(24 * 365), ['notifications.kept']);
  assert.deepEqual(await run(1), []);
  assert.deepEqual(await run(24), ['notifications.kept']);
  await retention.stop();
});
