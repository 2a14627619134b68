// The reader comes first: a disk that is full or does not answer delays nobody and is no secret.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseKeyring } from '../../src/keyring.ts';
import { realDisk } from '../../src/tracking/spool/disk.ts';
import { openSpool } from '../../src/tracking/spool.ts';
import { linkUrl, pixelUrl, tokenKeys } from '../../src/tracking/token.ts';
import { identity, startEdge } from '../support/edge.ts';
import { spawnEdge } from '../support/edge-process.ts';
import { exchange } from '../support/raw-client.ts';

const keys = tokenKeys(parseKeyring('correct horse battery staple'));
const pixel = pixelUrl(keys, '', identity);
const link = linkUrl(keys, '', identity, 'https://espn.com');
const get = (path: string, agent: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: t.example.com\r\nUser-Agent: ${agent}\r\n\r\n`;

interface State {
  degraded: string | null;
  landedLate: number;
  unrecorded: Record<string, number>;
}

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;

test('a full disk: readers are served, hits are metered, and it recovers', {
  skip: !hasPrlimit,
  timeout: 60_000,
}, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'edge-disk-'));
  const { child, port } = await spawnEdge(dataDir, ['prlimit', '--fsize=100000:unlimited']);
  const state = async (): Promise<State> => {
    const answer = await fetch(`http://127.0.0.1:${port}/state`);
    return JSON.parse(await answer.text());
  };
  try {
    const started = performance.now();
    assert.equal((await exchange(port, get(pixel, 'a'))).status, 200);
    assert.equal((await exchange(port, get(link, 'b'))).headers.get('location'), 'https://espn.com');
    assert.ok(performance.now() - started < 400);
    const full = await state();
    assert.equal(full.degraded, 'disk_full');
    assert.equal(full.unrecorded.disk_full, 2);
    execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited:unlimited']);
    while ((await state()).degraded !== null) await delay(50);
    assert.equal((await exchange(port, get(pixel, 'c'))).status, 200);
    while ((await state()).landedLate < 2) await delay(50);
    assert.equal((await state()).unrecorded.disk_full, 2);
    child.kill('SIGKILL');
    const spool = await openSpool({ dataDir, log: { info() {}, warn() {} } });
    const agents: string[] = [];
    while (agents.length < 3) {
      await spool.adopt();
      const { hits, upTo } = await spool.reader.read(10);
      agents.push(...hits.map(({ userAgent }) => userAgent));
      await spool.reader.done(upTo);
    }
    assert.deepEqual(agents.sort(), ['a', 'b', 'c']);
    await spool.close();
  } finally {
    child.kill('SIGKILL');
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
  }
});

test('a disk that stops answering holds an answer for 250 ms at most', async () => {
  const held: (() => void)[] = [];
  let stuck = false;
  const edge = await startEdge({
    spoolDeps: {
      disk: {
        create: realDisk.create,
        write: (...args) => {
          if (stuck) held.push(() => realDisk.write(...args));
          else realDisk.write(...args);
        },
      },
    },
  });
  try {
    assert.equal((await exchange(edge.port, get(pixel, 'before'))).status, 200);
    stuck = true;
    for (const path of [pixel, link]) {
      const started = performance.now();
      const { status } = await exchange(edge.port, get(path, 'during'));
      assert.ok(status === 200 || status === 302);
      assert.ok(performance.now() - started < 400);
    }
    assert.equal(edge.counters.unrecorded.stalled, 2);
    stuck = false;
    for (const write of held) write();
    while (edge.spool.state().degraded !== null) await delay(5);
    assert.equal((await exchange(edge.port, get(pixel, 'after'))).status, 200);
    while (edge.spool.state().landedLate < 2) await delay(5);
    assert.deepEqual((await edge.hits()).map(({ userAgent }) => userAgent).sort(), [
      'after',
      'before',
      'during',
      'during',
    ]);
    assert.equal(edge.counters.unrecorded.stalled, 2);
  } finally {
    await edge.stop();
  }
});
