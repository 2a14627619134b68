import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, watch, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EmbeddedProcess, makeZombie, startProcess } from '../../../test/support/embedded-process.ts';
import { throwAwayFolder, usedDataFolder } from '../../../test/support/postgres.ts';
import { type Embedded, startEmbedded } from '../embedded.ts';
import { connect, retrying, type Sql } from '../pool.ts';
import { hasCode } from './errno.ts';
import { occupantOf, readPidFile, strayBackends } from './pid-file.ts';

const events: { event: string; fields: object }[] = [];
const note = (fields: object, event: string): void => {
  events.push({ event, fields });
};
const log = { info: note, warn: note, error: note };
const started = new Set<EmbeddedProcess>();
after(async () => {
  for (const process of started) await process.kill('SIGKILL');
});

test('kill -9 of the service: the next start finds every committed row', async () => {
  const dataDir = await usedDataFolder();
  for (let round = 0; round < 3; round++) {
    const service = run({ dataDir });
    const { connection } = await service.up();
    await withSql(connection, (sql) => commitRow(sql, round));
    await service.kill('SIGKILL');
  }
  const embedded = await startEmbedded({ dataDir, log });
  assert.deepEqual(await withSql(embedded.connection, committed), [0, 1, 2]);
  await embedded.stop();
});

test('where nothing tells the server of our death it is left behind, and the next start stops it', async () => {
  const dataDir = await usedDataFolder();
  const service = run({ dataDir, env: { PATH: '/nonexistent' } });
  const { connection, server } = await service.up();
  await withSql(connection, (sql) => commitRow(sql, 1));
  await service.kill('SIGKILL');
  await withSql(connection, (sql) => commitRow(sql, 2)); // it does go on without us

  events.length = 0;
  const embedded = await startEmbedded({ dataDir, log });
  assert.ok(
    events.some(({ event, fields }) => event === 'postgres.orphan_stopped' && 'pid' in fields && fields.pid === server),
  );
  assert.notEqual(embedded.pid(), server);
  assert.deepEqual(await withSql(embedded.connection, committed), [1, 2]);
  await embedded.stop();
});

test('kill -9 of the server: it comes back at the same address, and the same pool goes on', async () => {
  const embedded = await startEmbedded({ dataDir: await usedDataFolder(), log });
  const { connection } = embedded;
  const sql = connect(connection);
  for (let round = 0; round < 3; round++) {
    await retrying(() => commitRow(sql, round));
    await killServer(embedded);
    assert.deepEqual(
      await retrying(() => committed(sql)),
      Array.from({ length: round + 1 }, (_, row) => row),
    );
  }
  assert.equal(embedded.connection, connection);
  await sql.end({ timeout: 0.1 });
  await embedded.stop();
});

test('a query that outlives the killed server does not keep the next one out', async (t) => {
  if (process.platform !== 'linux') return t.skip('needs /proc');
  const dataDir = await usedDataFolder();
  const embedded = await startEmbedded({ dataDir, log });
  const sql = connect(embedded.connection);
  const endless = assert.rejects(Promise.resolve(sql`select count(*) from generate_series(1, 10000000000)`));
  while ((await withSql(embedded.connection, running)) === 0) await sleep(5);
  await killServer(embedded);
  await endless;
  assert.equal((await retrying(() => sql`select 1 as one`))[0]?.one, 1);
  await sql.end({ timeout: 0.1 }); // without a limit the driver waits for the lost query for ever
  await embedded.stop();
});

test('stop() while the server is down does not bring it back', async () => {
  const dataDir = await usedDataFolder();
  const embedded = await startEmbedded({ dataDir, log });
  const pid = embedded.pid();
  assert.ok(pid);
  process.kill(pid, 'SIGKILL');
  while (embedded.pid() !== null) await sleep(1);
  await embedded.stop();
  assert.equal(embedded.pid(), null);
  // What the killed server left goes away by itself; a server that had been brought back would not.
  const deadline = Date.now() + 5_000;
  while ((await strayBackends(join(dataDir, 'postgres'))).length > 0) assert.ok(Date.now() < deadline);
});

test('kill -9 of service, server and all its processes: the next start recovers', async (t) => {
  if (process.platform !== 'linux') return t.skip('needs /proc');
  const dataDir = await usedDataFolder();
  const service = run({ dataDir });
  const { connection } = await service.up();
  await withSql(connection, (sql) => commitRow(sql, 7));
  const tree = await strayBackends(join(dataDir, 'postgres'));
  assert.ok(tree.length > 3);
  const killed = service.kill('SIGKILL');
  for (const pid of tree) killIfThere(pid);
  await killed;
  const embedded = await startEmbedded({ dataDir, log });
  assert.deepEqual(await withSql(embedded.connection, committed), [7]);
  await embedded.stop();
});

test('a first start that is killed again and again leaves nothing in the way of the next', async () => {
  const dataDir = await throwAwayFolder();
  for (const delay of [0, 60, 150, 250, 350]) {
    const service = run({ dataDir });
    await initdbBegins(dataDir);
    await sleep(delay); // the moment of the kill is what this test varies
    await service.kill('SIGKILL');
  }
  const embedded = await startEmbedded({ dataDir, log });
  assert.deepEqual(await withSql(embedded.connection, (sql) => commitRow(sql, 1).then(() => committed(sql))), [1]);
  assert.deepEqual((await readdir(dataDir)).sort(), ['lock', 'postgres', 'run']);
  await embedded.stop();
});

test('a start that was killed between making the files and making the database', async () => {
  const dataDir = await usedDataFolder();
  const first = await startEmbedded({ dataDir, log });
  await withSql({ ...first.connection, username: 'postgres', database: 'postgres' }, async (sql) => {
    await sql`drop database telltale`;
    await sql`drop role telltale`;
  });
  await first.stop();
  const second = await startEmbedded({ dataDir, log });
  assert.deepEqual(await withSql(second.connection, (sql) => commitRow(sql, 1).then(() => committed(sql))), [1]);
  await second.stop();
});

test('the pid in the file now belongs to somebody else: they are left alone and the server starts', async (t) => {
  const dataDir = await usedDataFolder();
  const folder = join(dataDir, 'postgres');
  const { uid, gid } = await stat(folder);
  const account = process.geteuid?.() === 0 ? { uid, gid } : {};
  const stranger = spawn('sleep', ['1000'], { stdio: 'ignore', cwd: '/', ...account });
  const otherServer = await startEmbedded({ dataDir: await usedDataFolder(), log });
  const zombie = await makeZombie({ uid, gid });
  t.after(() => {
    for (const child of [stranger, zombie.parent]) child.kill('SIGKILL');
  });
  for (const pid of [stranger.pid, otherServer.pid(), zombie.pid]) {
    assert.ok(pid);
    await leavePidFile(dataDir, pid);
    assert.equal(await occupantOf(pid, folder), 'other');
    const embedded = await startEmbedded({ dataDir, log });
    assert.equal((await withSql(embedded.connection, (sql) => sql`select 1 as one`))[0]?.one, 1);
    await embedded.stop();
  }
  assert.equal(stranger.exitCode ?? stranger.signalCode, null);
  assert.equal((await withSql(otherServer.connection, (sql) => sql`select 1 as one`))[0]?.one, 1);
  await otherServer.stop();
});

test('what a failed start says is in the error, and the folder is free again', async () => {
  const dataDir = await usedDataFolder();
  await assert.rejects(
    startEmbedded({ dataDir, log, settings: { shared_buffers: 'plenty' } }),
    /shared_buffers.*plenty/s,
  );
  await (await startEmbedded({ dataDir, log })).stop();
  await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '17\n');
  await assert.rejects(startEmbedded({ dataDir, log }), /made by PostgreSQL 17.*brings PostgreSQL 18/);
});

function run(start: Parameters<typeof startProcess>[0]): EmbeddedProcess {
  const service = startProcess(start);
  started.add(service);
  return service;
}

/** Resolves when the next one runs: connections of the killed one answer for a moment yet. */
async function killServer(embedded: Embedded): Promise<void> {
  const pid = embedded.pid();
  assert.ok(pid);
  process.kill(pid, 'SIGKILL');
  while (embedded.pid() === null || embedded.pid() === pid) await sleep(5);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}

async function withSql<T>(connection: Embedded['connection'], work: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = connect(connection, { max: 1 });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function commitRow(sql: Sql, row: number): Promise<void> {
  await sql`create table if not exists kept (row integer primary key)`;
  await sql`insert into kept values (${row}) on conflict do nothing`;
}

async function committed(sql: Sql): Promise<number[]> {
  return (await sql<{ row: number }[]>`select row from kept order by row`).map(({ row }) => row);
}

async function running(sql: Sql): Promise<number> {
  return (
    await sql`select 1 from pg_stat_activity where state = 'active' and query like '%generate_series%'
    and pid <> pg_backend_pid()`
  ).length;
}

async function initdbBegins(dataDir: string): Promise<void> {
  const timeout = AbortSignal.timeout(30_000);
  for await (const _ of watch(dataDir, { signal: timeout })) {
    // On a busy machine an earlier round may have come to its end before it was killed: then there is nothing to begin.
    if ((await readdir(dataDir)).some((name) => name.startsWith('postgres.tmp-') || name === 'postgres')) return;
  }
}

/** As left by a server that was killed: everything in it true but the process. */
async function leavePidFile(dataDir: string, pid: number): Promise<void> {
  const folder = join(dataDir, 'postgres');
  const file = join(folder, 'postmaster.pid');
  const embedded = await startEmbedded({ dataDir, log });
  const text = await readFile(file, 'utf8');
  await embedded.stop();
  assert.equal(await readPidFile(folder), null);
  const { uid, gid } = await stat(folder);
  await writeFile(file, text.replace(/^\d+/, String(pid)), { mode: 0o600 });
  if (process.geteuid?.() === 0) await once(spawn('chown', [`${uid}:${gid}`, file]), 'exit');
}
