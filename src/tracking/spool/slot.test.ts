import assert from 'node:assert/strict';
import { access, mkdir, mkdtemp, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openSpool, type Spool, type SpoolDeps } from '../spool.ts';

const identity = Buffer.alloc(28, 7);
identity[0] = 0x11;
const quiet = { info() {}, warn() {} };
const open = new Set<Spool>();
const folders: string[] = [];

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'slot-'));
  folders.push(folder);
  return folder;
}

async function openIn(dataDir: string, more: Partial<SpoolDeps> = {}): Promise<Spool> {
  const spool = await openSpool({ dataDir, log: quiet, segmentBytes: 1 << 16, ...more });
  open.add(spool);
  return spool;
}

afterEach(async () => {
  for (const spool of open) await spool.close();
  open.clear();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** The folder of a slot without an owner that holds one hit. */
async function deadSlot(userAgent: string): Promise<string> {
  const dataDir = await newFolder();
  const spool = await openIn(dataDir);
  const hit = { identity, method: 'GET', prefetch: false, acceptLanguage: true, secFetchMode: false, ip: '' };
  assert.equal(await new Promise((resolve) => spool.append({ ...hit, userAgent }, resolve)), 'durable');
  open.delete(spool);
  await spool.close();
  return join(dataDir, 'spool', await onlyName(join(dataDir, 'spool')));
}

async function onlyName(folder: string): Promise<string> {
  const [name, ...more] = await readdir(folder);
  assert.ok(name !== undefined && more.length === 0);
  return name;
}

async function moveInto(folder: string, path: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const moved = join(folder, path.slice(dirname(path).length + 1));
  await rename(path, moved);
  return moved;
}

async function drain(spool: Spool): Promise<string[]> {
  const all: string[] = [];
  for (;;) {
    const { hits, upTo } = await spool.reader.read(100);
    if (hits.length === 0) return all.sort();
    all.push(...hits.map(({ userAgent }) => userAgent));
    await spool.reader.done(upTo);
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const limit = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < limit, 'within seconds');
    await delay(20);
  }
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

test('hits of slots whose adopters died before lifting them are read, however deep they lie', async () => {
  const dataDir = await newFolder();
  const spoolFolder = join(dataDir, 'spool');
  const outermost = await moveInto(spoolFolder, await deadSlot('c'));
  const middle = await moveInto(join(outermost, 'adopted'), await deadSlot('b'));
  await moveInto(join(middle, 'adopted'), await deadSlot('a'));
  await moveInto(join(middle, 'adopted'), await deadSlot('also a'));

  const spool = await openIn(dataDir);
  await spool.adopt();
  assert.deepEqual(await drain(spool), ['a', 'also a', 'b', 'c']);
  assert.equal(spool.state().adoptedSlots, 4);
  const nested = (await readdir(spoolFolder, { recursive: true })).filter((path) => /adopted.*adopted/.test(path));
  assert.deepEqual(nested, []);
});

test('what was adopted before a failure is read after it', async () => {
  const dataDir = await newFolder();
  const spool = await openIn(dataDir);
  await spool.adopt();
  const spoolFolder = join(dataDir, 'spool');
  const own = await onlyName(spoolFolder);
  await moveInto(spoolFolder, await deadSlot('first'));
  const second = await moveInto(spoolFolder, await deadSlot('second'));
  const inTheWay = join(spoolFolder, own, 'adopted', second.slice(spoolFolder.length + 1));
  await mkdir(join(inTheWay, 'x'), { recursive: true });
  await assert.rejects(spool.adopt());
  await rm(inTheWay, { recursive: true });
  await spool.adopt();
  assert.deepEqual(await drain(spool), ['first', 'second']);
  await spool.adopt();
  assert.equal(spool.state().adoptedSlots, 2);
});

test('what is not ours in the spool folder stays where it is', async () => {
  const dataDir = await newFolder();
  const spoolFolder = join(dataDir, 'spool');
  const leftover = '.new-00001770000000-0123abcd';
  const foreign = ['my-notes/precious.txt', '.new-notes/precious.txt', `${leftover}/precious.txt`, 'file'];
  for (const path of foreign) {
    await mkdir(dirname(join(spoolFolder, path)), { recursive: true });
    await writeFile(join(spoolFolder, path), 'precious');
  }
  const emptyLeftover = join(spoolFolder, '.new-00001770000001-0123abcd');
  for (const name of ['lost+found', '.new-empty', emptyLeftover.slice(spoolFolder.length + 1)])
    await mkdir(join(spoolFolder, name));
  for (const name of await readdir(spoolFolder)) await utimes(join(spoolFolder, name), 1, 1);

  const dead = await moveInto(spoolFolder, await deadSlot('hit'));
  await writeFile(join(dead, '0', 'precious.txt'), 'precious');
  const tidy = await moveInto(spoolFolder, await deadSlot('hit'));

  const spool = await openIn(dataDir, { keepMs: 0 });
  await spool.adopt();
  const own = (await readdir(spoolFolder)).find((name) => /^\d/.test(name)) ?? '';
  const adopted = (path: string): string => join(spoolFolder, own, 'adopted', path.slice(spoolFolder.length + 1));
  assert.ok(await isThere(adopted(tidy)));
  assert.deepEqual(await drain(spool), ['hit', 'hit']);
  await until(async () => !(await isThere(adopted(tidy))) && !(await isThere(join(adopted(dead), '1'))));
  await spool.adopt();
  for (const path of foreign) assert.ok(await isThere(join(spoolFolder, path)), path);
  for (const name of ['lost+found', '.new-empty']) assert.ok(await isThere(join(spoolFolder, name)), name);
  assert.ok(!(await isThere(emptyLeftover)));
  assert.deepEqual(await readdir(join(adopted(dead), '0')), ['precious.txt']);
});
