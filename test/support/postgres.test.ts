import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isThere } from '../../src/db/embedded/errno.ts';
import type { Sql } from '../../src/db/pool.ts';
import { durableDatabase, testDatabase } from './postgres.ts';

let prepared = 0;
const prepare = async (sql: Sql): Promise<void> => {
  prepared++;
  await sql`create table words (word text)`;
};

test('every database is prepared, and none sees what another was given', async () => {
  const [one, two] = await Promise.all([testDatabase(prepare), testDatabase(prepare)]);
  await one.sql`insert into words values ('one')`;
  assert.equal((await one.sql`select from words`).length, 1);
  assert.equal((await two.sql`select from words`).length, 0);
  await two.sql`drop table words`; // ours to change
  assert.equal(prepared, 1);
  await Promise.all([one.drop(), two.drop()]);
});

test('the durable one syncs', async () => {
  const database = await durableDatabase();
  assert.equal((await database.sql`select current_setting('fsync') as fsync`)[0]?.fsync, 'on');
  await database.drop();
});

test('a killed test process leaves neither server nor folder', async () => {
  const module = new URL('./postgres.js', import.meta.url).href;
  const script = `const { testDatabase } = await import(${JSON.stringify(module)});
    const { connection } = await testDatabase();
    process.stdout.write(connection.host);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  const [host]: unknown[] = await once(child.stdout, 'data');
  const folder = String(host).replace(/\/run$/, '');
  assert.ok(await isThere(folder));
  child.kill('SIGKILL');
  while (await isThere(folder)) await sleep(20);
});
