import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { occupantOf, parsePidFile, readPidFile } from './pid-file.ts';

const TEXT = '4711\n/data/postgres\n1795296218\n5432\n/data/run\n\n 16041055        28\nready   \n';

test('reads what a running server writes', () => {
  assert.deepEqual(parsePidFile(TEXT), { pid: 4711, port: 5432, socketFolder: '/data/run', status: 'ready' });
});

test('a file that is being written is read as far as it goes, or not at all', () => {
  assert.deepEqual(parsePidFile('4711\n/data'), { pid: 4711, port: 0, socketFolder: '', status: '' });
  assert.equal(parsePidFile(''), null);
  assert.equal(parsePidFile('\n'), null);
  assert.equal(parsePidFile('0\n'), null);
  assert.equal(parsePidFile('1\n'), null);
});

test('a stand-alone backend writes its pid negative', () => {
  assert.equal(parsePidFile('-4711\n')?.pid, 4711);
});

test('no file, no server', async () => {
  assert.equal(await readPidFile('/nonexistent'), null);
});

test('a process of ours is not the server, a process that is gone is gone', async () => {
  assert.equal(await occupantOf(process.pid, '/data/postgres'), 'other');
  const child = spawn('true');
  await once(child, 'exit');
  assert.ok(child.pid);
  assert.equal(await occupantOf(child.pid, '/data/postgres'), 'gone');
});
