import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { migrate } from './migrate.ts';
import { dropPartitions, ensurePartitions, lowestId, weekOf, weeksWithRows } from './partitions.ts';
import type { Sql } from './pool.ts';

const WEEK_MS = 7 * 24 * 3_600_000;
const NOW = Date.UTC(2026, 10, 18, 12); // a Wednesday: its week began on the 16th

async function database(t: { after(release: () => Promise<void>): void }): Promise<Sql> {
  const { sql, drop } = await testDatabase(migrate);
  t.after(drop);
  return sql;
}

async function partitionsOf(sql: Sql, table: string): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select inhrelid::regclass::text as name from pg_inherits where inhparent = ${table}::regclass order by 1`;
  return rows.map(({ name }) => name);
}

test('a week is dropped once all of it is older than the limit, the oldest first, other tables not touched', async (t) => {
  const sql = await database(t);
  await ensurePartitions(sql, NOW - 2 * WEEK_MS, 3);
  const tables = ['attempts', 'notifications'] as const;
  const dropped = async (before: number): Promise<readonly string[]> =>
    (await dropPartitions(sql, { tables, before })).dropped;
  assert.deepEqual(await dropped(NOW - WEEK_MS), ['attempts_w20261102', 'notifications_w20261102']);
  const left = ['w20261109', 'w20261116', 'w20261123'];
  assert.deepEqual(
    await partitionsOf(sql, 'attempts'),
    left.map((week) => `attempts_${week}`),
  );
  assert.equal((await partitionsOf(sql, 'deliveries')).length, 4);
  assert.equal((await partitionsOf(sql, 'events')).length, 4);
  // Up to the very end of the week.
  assert.deepEqual(await dropped(weekOf(NOW) - 1), []);
  assert.deepEqual(await dropped(weekOf(NOW)), ['attempts_w20261109', 'notifications_w20261109']);
});

test('a table in use is left for the next call, and those after it; nobody waits long', async (t) => {
  const sql = await database(t);
  await ensurePartitions(sql, NOW, 0);
  const order = { tables: ['attempts', 'deliveries', 'notifications'] as const, before: NOW + 2 * WEEK_MS };
  const reader = await sql.reserve();
  await reader`begin`;
  await reader`select from deliveries`;
  const dropping = dropPartitions(sql, order);
  await sql`select from deliveries`; // behind the drop, which gives up
  assert.deepEqual(await dropping, { dropped: ['attempts_w20261116'], busy: 'deliveries_w20261116' });
  await reader`commit`;
  reader.release();
  assert.deepEqual(await dropPartitions(sql, order), {
    dropped: ['deliveries_w20261116', 'notifications_w20261116'],
    busy: null,
  });
});

test('the weeks that hold rows, newest first, none that lies ahead', async (t) => {
  const sql = await database(t);
  await ensurePartitions(sql, NOW - 2 * WEEK_MS, 3);
  const at = async (ms: number): Promise<void> => {
    await sql`
      insert into notifications (app, id, trigger, happened_at) values (1, ${lowestId(ms)}, 'message.opened', now())`;
  };
  for (const ms of [NOW - 2 * WEEK_MS, weekOf(NOW), NOW, NOW + WEEK_MS]) await at(ms);
  assert.deepEqual(await weeksWithRows(sql, 'notifications', NOW), [weekOf(NOW), weekOf(NOW - 2 * WEEK_MS)]);
  assert.deepEqual(await weeksWithRows(sql, 'attempts', NOW), []);
});

test('the lowest id of a time lies between those of that time and of the millisecond before', () => {
  assert.ok(lowestId(NOW) <= `${lowestId(NOW).slice(0, 14)}7000-8000-000000000000`);
  assert.ok(lowestId(NOW) > `${lowestId(NOW - 1).slice(0, 14)}7fff-bfff-ffffffffffff`);
});
