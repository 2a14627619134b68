import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Hit, NewHit } from './hit.ts';
import { type Disk, realDisk } from './spool/disk.ts';
import { type Outcome, openSpool, type Spool, type SpoolDeps } from './spool.ts';

const identity = Buffer.alloc(28, 7);
identity[0] = 0x11;
const clickIdentity = Buffer.from(identity);
clickIdentity[0] = 0x12;
const quiet = { info() {}, warn() {} };

const open = new Set<Spool>();
const folders: string[] = [];

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'spool-'));
  folders.push(folder);
  return folder;
}

async function openFor(dataDir: string, more: Partial<SpoolDeps> = {}): Promise<Spool> {
  const spool = await openSpool({ dataDir, log: quiet, segmentBytes: 1 << 20, ...more });
  open.add(spool);
  return spool;
}

async function close(spool: Spool): Promise<void> {
  open.delete(spool);
  await spool.close();
}

afterEach(async () => {
  for (const spool of open) await close(spool);
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

function append(spool: Spool, userAgent: string, more: Partial<NewHit> = {}): Promise<Outcome> {
  const hit = {
    identity,
    method: 'GET',
    prefetch: false,
    acceptLanguage: true,
    secFetchMode: false,
    ip: '',
    userAgent,
  };
  return new Promise((resolve) => spool.append({ ...hit, ...more }, resolve));
}

const agents = (hits: readonly Hit[]): string[] => hits.map(({ userAgent }) => userAgent);
const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `hit ${index}`);

async function drain(spool: Spool, max = 100): Promise<string[]> {
  const all: string[] = [];
  for (;;) {
    const { hits, upTo } = await spool.reader.read(max);
    if (hits.length === 0) return all;
    all.push(...agents(hits));
    await spool.reader.done(upTo);
  }
}

/** A disk whose writes wait, fail or pass as told. */
function moodyDisk(): Disk & { mood: 'good' | 'stuck' | Error; release(): void; creates: number } {
  const held: (() => void)[] = [];
  return {
    mood: 'good',
    creates: 0,
    async create(path, header, bytes) {
      this.creates++;
      if (this.mood instanceof Error) throw this.mood;
      return realDisk.create(path, header, bytes);
    },
    write(fd, bytes, length, position, done) {
      const { mood } = this;
      if (mood instanceof Error) setImmediate(done, mood);
      else if (mood === 'stuck') held.push(() => realDisk.write(fd, bytes, length, position, done));
      else realDisk.write(fd, bytes, length, position, done);
    },
    release() {
      this.mood = 'good';
      for (const write of held.splice(0)) write();
    },
  };
}

const full = (): Error => Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });

test('what is answered as durable is read back in order', async () => {
  const spool = await openFor(await newFolder());
  const wakes: number[] = [];
  spool.reader.onAppend(() => wakes.push(Date.now()));
  assert.deepEqual(spool.reader.depth(), { hits: 0, bytes: 0, oldest: null });
  const before = Date.now();
  const outcomes = await Promise.all(numbered(500).map((agent) => append(spool, agent)));
  assert.ok(outcomes.every((outcome) => outcome === 'durable'));
  assert.ok(wakes.length > 0);
  const depth = spool.reader.depth();
  assert.equal(depth.hits, 500);
  assert.ok(depth.oldest && depth.oldest.getTime() >= before && depth.oldest.getTime() <= Date.now());
  assert.deepEqual(await drain(spool, 7), numbered(500));
  assert.deepEqual(spool.reader.depth(), { hits: 0, bytes: 0, oldest: null });
});

test('the position moves with done and with nothing else', async () => {
  const spool = await openFor(await newFolder());
  for (const agent of numbered(6)) await append(spool, agent);
  const first = await spool.reader.read(4);
  const again = await spool.reader.read(4);
  assert.deepEqual(agents(first.hits), agents(again.hits));
  await spool.reader.done(first.upTo);
  await spool.reader.done(again.upTo);
  assert.equal(spool.reader.depth().hits, 2);
  assert.deepEqual(agents((await spool.reader.read(100)).hits), ['hit 4', 'hit 5']);
});

test('many segments are one stream, and are kept for a replay', async () => {
  const dataDir = await newFolder();
  const spool = await openFor(dataDir);
  const long = 'x'.repeat(900);
  const expected = numbered(4000).map((agent) => agent + long);
  for (let at = 0; at < expected.length; at += 250)
    await Promise.all(expected.slice(at, at + 250).map((agent) => append(spool, agent)));
  const files = async (): Promise<string[]> => readdir(join(dataDir, 'spool'), { recursive: true });
  assert.ok((await files()).filter((name) => name.endsWith('.seg')).length >= 4);
  const stream = (await drain(spool)).sort();
  assert.deepEqual(stream, expected.sort());
  assert.ok((await files()).filter((name) => name.endsWith('.done')).length >= 3);
  const old = await spool.reader.read(1);
  await spool.reader.replayReleased();
  await spool.reader.done(old.upTo);
  assert.equal((await drain(spool, 1000)).length, 4000);
});

test('kept segments are removed after their time', async () => {
  const dataDir = await newFolder();
  const spool = await openFor(dataDir, { keepMs: 0 });
  for (let at = 0; at < 8; at++)
    await Promise.all(numbered(250).map((agent) => append(spool, agent + 'x'.repeat(1000))));
  await drain(spool);
  const kept = async (): Promise<number> =>
    (await readdir(join(dataDir, 'spool'), { recursive: true })).filter((name) => name.endsWith('.done')).length;
  const limit = Date.now() + 10_000;
  while ((await kept()) > 0) {
    assert.ok(Date.now() < limit, 'removed within seconds');
    await delay(50);
  }
});

test('the next process adopts what was left and reads on where the last one was', async () => {
  const dataDir = await newFolder();
  const first = await openFor(dataDir);
  for (const agent of numbered(10)) await append(first, agent);
  const { upTo } = await first.reader.read(4);
  await first.reader.done(upTo);
  await close(first);

  const second = await openFor(dataDir);
  await second.adopt();
  assert.equal(second.state().adoptedSlots, 1);
  assert.equal(second.reader.depth().hits, 6);
  await append(second, 'own');
  assert.deepEqual(agents((await second.reader.read(3)).hits), ['hit 4', 'hit 5', 'hit 6']);
  await close(second);

  const third = await openFor(dataDir);
  await third.adopt();
  assert.deepEqual(await drain(third), [...numbered(10).slice(4), 'own']);
  assert.equal((await readdir(join(dataDir, 'spool'))).length, 1);
});

test('a slot whose owner lives is left alone', async () => {
  const dataDir = await newFolder();
  const one = await openFor(dataDir);
  const two = await openFor(dataDir);
  await append(one, 'mine');
  await two.adopt();
  assert.deepEqual(await drain(two), []);
  assert.deepEqual(await drain(one), ['mine']);
});

test('of two that find a dead slot one adopts it', async () => {
  const dataDir = await newFolder();
  const dead = await openFor(dataDir);
  for (const agent of numbered(20)) await append(dead, agent);
  const others = [await openFor(dataDir), await openFor(dataDir), await openFor(dataDir)];
  await close(dead);
  await Promise.all(others.map((spool) => spool.adopt()));
  assert.equal(
    others.reduce((sum, spool) => sum + spool.state().adoptedSlots, 0),
    1,
  );
  const read = await Promise.all(others.map((spool) => drain(spool)));
  assert.deepEqual(read.flat(), numbered(20));
});

test('a data folder with a path too long for a socket works', { skip: process.platform !== 'linux' }, async () => {
  const dataDir = join(await newFolder(), 'a'.repeat(90), 'b'.repeat(90));
  const one = await openFor(dataDir);
  const two = await openFor(dataDir);
  await append(one, 'here');
  await two.adopt();
  assert.equal(two.state().adoptedSlots, 0);
  await close(one);
  await two.adopt();
  assert.deepEqual(await drain(two), ['here']);
});

test('a disk that is late with one file commits to the other', async () => {
  let stuckFd = -1;
  const held: (() => void)[] = [];
  const disk: Disk = {
    create: realDisk.create,
    write(...args) {
      if (stuckFd < 0) stuckFd = args[0];
      if (args[0] === stuckFd) held.push(() => realDisk.write(...args));
      else realDisk.write(...args);
    },
  };
  const spool = await openFor(await newFolder(), { disk });
  const first = append(spool, 'late');
  while (held.length === 0) await new Promise(setImmediate);
  await delay(2);
  for (const agent of numbered(5)) assert.equal(await append(spool, agent), 'durable');
  assert.equal(await first, 'stalled');
  assert.equal(spool.state().degraded, null);
  for (const write of held) write();
  while (spool.state().landedLate === 0) await delay(5);
  assert.deepEqual((await drain(spool)).sort(), [...numbered(5), 'late']);
});

test('a stalled disk delays an answer by 250 ms at most, twice, and the hits land when it is back', async () => {
  const disk = moodyDisk();
  const spool = await openFor(await newFolder(), { disk });
  assert.equal(await append(spool, 'before'), 'durable');
  disk.mood = 'stuck';
  const started = performance.now();
  assert.deepEqual(await Promise.all([append(spool, 'a'), append(spool, 'b')]), ['stalled', 'stalled']);
  const waited = performance.now() - started;
  assert.ok(waited > 150 && waited < 400, `${waited} ms`);
  const again = performance.now();
  assert.equal(await append(spool, 'c'), 'stalled');
  assert.ok(performance.now() - again < 400, 'the other file is tried');
  const next = performance.now();
  assert.equal(await append(spool, 'd'), 'stalled');
  assert.ok(performance.now() - next < 50, 'answered at once while both are known to be stalled');
  assert.equal(spool.state().degraded, 'stalled');
  disk.release();
  while (spool.state().degraded !== null) await delay(5);
  assert.equal(await append(spool, 'after'), 'durable');
  while (spool.state().landedLate < 4) await delay(5);
  assert.deepEqual((await drain(spool)).sort(), ['a', 'after', 'b', 'before', 'c', 'd']);
});

test('a failing disk is met with a new file, and nothing kept in memory is lost', async () => {
  const disk = moodyDisk();
  const spool = await openFor(await newFolder(), { disk });
  assert.equal(await append(spool, 'before'), 'durable');
  disk.mood = full();
  assert.equal(await append(spool, 'a'), 'disk_full');
  assert.equal(await append(spool, 'b'), 'disk_full');
  assert.equal(spool.state().degraded, 'disk_full');
  const creates = disk.creates;
  disk.mood = 'good';
  while (spool.state().degraded !== null) await delay(10);
  assert.equal(await append(spool, 'after'), 'durable');
  assert.ok(disk.creates > creates);
  while (spool.state().landedLate < 2) await delay(5);
  assert.deepEqual((await drain(spool)).sort(), ['a', 'after', 'b', 'before']);
});

test('a disk that refuses from the start does not keep the spool from opening', async () => {
  const disk = moodyDisk();
  disk.mood = Object.assign(new Error('i/o error'), { code: 'EIO' });
  const spool = await openFor(await newFolder(), { disk });
  assert.equal(await append(spool, 'a'), 'disk_error');
  disk.mood = 'good';
  while (spool.state().degraded !== null) await delay(10);
  assert.equal(await append(spool, 'b'), 'durable');
  while (spool.state().landedLate < 1) await delay(5);
  assert.deepEqual((await drain(spool)).sort(), ['a', 'b']);
});

test('memory is bounded while the disk refuses', async () => {
  const disk = moodyDisk();
  const spool = await openFor(await newFolder(), { disk });
  disk.mood = 'stuck';
  const outcomes = await Promise.all(
    Array.from({ length: 12_000 }, (_, index) => append(spool, `${index} ${'x'.repeat(1000)}`)),
  );
  const overrun = outcomes.filter((outcome) => outcome === 'overrun').length;
  assert.ok(overrun > 3000 && overrun < 6000, `${overrun}`);
  assert.ok(outcomes.every((outcome) => outcome === 'overrun' || outcome === 'stalled'));
  disk.release();
  while (spool.state().degraded !== null) await delay(5);
  while (spool.reader.depth().hits < 12_000 - overrun) await delay(5);
  assert.equal((await drain(spool, 1000)).length, 12_000 - overrun);
});

test('near the limit opens are shed, at the limit clicks too, and draining ends it', async () => {
  const spool = await openFor(await newFolder(), { limitBytes: 100_000 });
  const fill = async (kind: Buffer): Promise<Outcome> => {
    for (;;) {
      const outcome = await append(spool, 'x'.repeat(900), { identity: kind });
      if (outcome !== 'durable') return outcome;
    }
  };
  assert.equal(await fill(identity), 'shed');
  assert.ok(spool.reader.depth().bytes < 82_000, `${spool.reader.depth().bytes}`);
  assert.equal(await append(spool, 'click', { identity: clickIdentity }), 'durable');
  assert.equal(await fill(clickIdentity), 'shed');
  assert.ok(spool.reader.depth().bytes < 102_000);
  await drain(spool);
  assert.equal(await append(spool, 'open'), 'durable');
});

test('closing commits what was appended', async () => {
  const dataDir = await newFolder();
  const spool = await openFor(dataDir);
  const outcomes = numbered(50).map((agent) => append(spool, agent));
  await close(spool);
  assert.deepEqual(new Set(await Promise.all(outcomes)), new Set(['durable']));
  const next = await openFor(dataDir);
  await next.adopt();
  assert.deepEqual(await drain(next), numbered(50));
});
