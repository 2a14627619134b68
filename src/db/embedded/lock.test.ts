import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { lockFolder } from './lock.ts';

const MODULE = fileURLToPath(new URL('./lock.js', import.meta.url));

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'telltale-lock-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

test('the second is told the first, until the first lets go', async () => {
  const first = await lockFolder(folder);
  assert.ok(first.kind === 'held');
  assert.deepEqual(await lockFolder(folder), { kind: 'taken', pid: process.pid });
  await first.lock.release();
  assert.deepEqual(await readdir(folder), []);
  const second = await lockFolder(folder);
  assert.ok(second.kind === 'held');
  await second.lock.release();
});

test('of many that start in the same moment exactly one gets it', async () => {
  for (let round = 0; round < 5; round++) {
    const results = await Promise.all(Array.from({ length: 8 }, () => lockFolder(folder)));
    const held = results.flatMap((result) => (result.kind === 'held' ? [result.lock] : []));
    assert.equal(held.length, 1);
    await held[0]?.release();
  }
});

test('a process that was killed holds nothing', async () => {
  const holder = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `const { lockFolder } = await import(${JSON.stringify(MODULE)});
     await lockFolder(${JSON.stringify(folder)});
     process.stdout.write('held'); setInterval(() => {}, 60000);`,
  ]);
  await once(holder.stdout, 'data');
  assert.deepEqual(await lockFolder(folder), { kind: 'taken', pid: holder.pid });
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const next = await lockFolder(folder);
  assert.ok(next.kind === 'held');
  await next.lock.release();
  assert.deepEqual(await readdir(folder), []);
});

test('the length of the path does not matter on Linux', async (t) => {
  if (process.platform !== 'linux') return t.skip('needs /proc');
  const deep = join(folder, 'a'.repeat(120), 'b'.repeat(120));
  const first = await lockFolder(deep);
  assert.ok(first.kind === 'held');
  assert.equal((await lockFolder(deep)).kind, 'taken');
  await first.lock.release();
});
