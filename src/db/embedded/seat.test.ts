import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readlink, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { copyCheckout, type EmbeddedProcess, startProcess } from '../../../test/support/embedded-process.ts';
import { throwAwayFolder, usedDataFolder } from '../../../test/support/postgres.ts';
import { startEmbedded } from '../embedded.ts';
import { connect } from '../pool.ts';
import { type Account, isRoot, serverAccounts } from './account.ts';

const NOBODY = 65534;
const NAMELESS = 54_321;
const WITHOUT_PASSAGE = ['setpriv', '--bounding-set=-dac_read_search', '--'];
const log = { info: () => {}, warn: () => {}, error: () => {} };
const execFileAsync = promisify(execFile);
const started = new Set<EmbeddedProcess>();
const canSwitch = isRoot() && (await works(['setpriv', '--pdeathsig=INT', '--reuid=65534', '--clear-groups', 'true']));
const nobodyCanRun = canSwitch && (await works([...as(NOBODY), process.execPath, '--version']));

let folder = '';
let checkout = '';
before(async () => {
  folder = await throwAwayFolder();
  checkout = join(folder, 'checkout');
  await copyCheckout(checkout);
});
after(async () => {
  for (const process of started) await process.kill('SIGKILL');
});

test('root: the server belongs to an account that was there, and may not read what is ours', async (t) => {
  if (!canSwitch) return t.skip('needs root');
  const dataDir = join(folder, 'open');
  const embedded = await startEmbedded({ dataDir, log });
  const [account] = await serverAccounts();
  assert.equal((await stat(join(dataDir, 'postgres'))).uid, account?.uid);
  assert.deepEqual(await rights(embedded.pid()), { uid: account?.uid, capabilities: 0 });
  assert.equal((await stat(dataDir)).uid, 0);
  assert.equal((await stat(dataDir)).mode & 0o777, 0o711);
  await embedded.stop();
});

test('root, checkout and data under a folder closed to others: the server may pass, and do nothing else', async (t) => {
  if (!canSwitch) return t.skip('needs root');
  const closed = await closedFolder('closed');
  const ownCheckout = join(closed, 'checkout');
  await execFileAsync('cp', ['-Rp', checkout, ownCheckout]);
  const dataDir = join(closed, 'data');
  const { connection, server } = await run({ dataDir, checkout: ownCheckout }).up();
  const [account] = await serverAccounts();
  assert.deepEqual(await rights(server), { uid: account?.uid, capabilities: 1 << 2 }); // CAP_DAC_READ_SEARCH
  assert.equal(dirname(connection.host), dataDir);
  await query(connection);
});

test('kill -9 of a service run by root stops a server that has the right to pass, too', async (t) => {
  if (!canSwitch) return t.skip('needs root');
  const dataDir = join(await closedFolder('tied'), 'data');
  const service = run({ dataDir });
  await service.up();
  await service.kill('SIGKILL');
  const deadline = Date.now() + 5_000;
  while (await works(['test', '-e', join(dataDir, 'postgres', 'postmaster.pid')])) assert.ok(Date.now() < deadline);
});

test('root who cannot give that right: programs and data go where the account can, and the log says so', async (t) => {
  if (!canSwitch) return t.skip('needs root');
  const closed = await closedFolder('bounded');
  const ownCheckout = join(closed, 'checkout');
  await execFileAsync('cp', ['-Rp', checkout, ownCheckout]);
  const dataDir = join(closed, 'data');
  const first = run({ dataDir, checkout: ownCheckout, through: WITHOUT_PASSAGE });
  const moved = await first.said('postgres.placed_elsewhere');
  const home = String(moved.placedIn);
  try {
    const copied = await first.said('postgres.programs_copied');
    assert.ok(String(copied.to).startsWith(home));
    const { connection } = await first.up();
    await query(connection, 'create table kept ()');
    assert.equal(await readlink(join(dataDir, 'postgres')), join(home, 'postgres'));
    await first.kill('SIGTERM');

    const second = run({ dataDir, checkout: ownCheckout, through: WITHOUT_PASSAGE });
    await query((await second.up()).connection, 'select from kept');
    await second.kill('SIGTERM');

    await rm(home, { recursive: true });
    const third = await run({ dataDir, checkout: ownCheckout, through: WITHOUT_PASSAGE }).said('failed');
    assert.match(String(third.message), /gone or not mounted/);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});

test('root without that right, data folder in the open: everything stays in it', async (t) => {
  if (!canSwitch) return t.skip('needs root');
  const dataDir = join(folder, 'container');
  await mkdir(dataDir, { mode: 0o700 });
  const { connection } = await run({ dataDir, checkout, through: WITHOUT_PASSAGE }).up();
  assert.equal(connection.host, join(dataDir, 'run'));
  await query(connection);
});

test('root gets a data folder that was restored as root, and one that belongs to another account', async (t) => {
  if (!canSwitch) return t.skip('needs root');
  for (const [owner, expected] of [
    [0, (await serverAccounts())[0]?.uid],
    [NAMELESS, NAMELESS],
  ] as const) {
    const dataDir = await usedDataFolder();
    await execFileAsync('chown', ['-R', `${owner}:${owner}`, join(dataDir, 'postgres')]);
    const embedded = await startEmbedded({ dataDir, log });
    assert.equal((await rights(embedded.pid())).uid, expected);
    await query(embedded.connection);
    await embedded.stop();
  }
});

test('an ordinary user runs it directly, under a folder closed to all others', async (t) => {
  if (!nobodyCanRun) return t.skip('needs root, and a node that nobody can run');
  const home = await closedFolder('nobody', NOBODY);
  const { connection, server } = await run({ dataDir: join(home, 'data'), checkout, through: as(NOBODY) }).up();
  assert.deepEqual(await rights(server), { uid: NOBODY, capabilities: 0 });
  assert.equal((await stat(join(home, 'data'))).mode & 0o777, 0o700);
  await query(connection);
});

test('a user who may not write the package, with the links missing, runs a copy', async (t) => {
  if (!nobodyCanRun) return t.skip('needs root, and a node that nobody can run');
  const readOnly = join(folder, 'read-only');
  await copyCheckout(readOnly);
  const home = await closedFolder('copy', NOBODY);
  const service = run({ dataDir: join(home, 'data'), checkout: readOnly, through: as(NOBODY) });
  await service.said('postgres.programs_copied');
  await query((await service.up()).connection);
});

test('a user id without a name: a new cluster is explained, an existing one runs', async (t) => {
  if (!nobodyCanRun) return t.skip('needs root, and a node that everybody can run');
  const home = await closedFolder('nameless', NAMELESS);
  const failed = await run({ dataDir: join(home, 'data'), checkout, through: as(NAMELESS) }).said('failed');
  assert.equal(failed.name, 'EmbeddedUnavailable');
  assert.match(String(failed.message), /\/etc\/passwd has none for 54321.*DATABASE_URL/);

  const dataDir = await usedDataFolder();
  await execFileAsync('chown', ['-R', `${NAMELESS}:${NAMELESS}`, dataDir]);
  await query((await run({ dataDir, checkout, through: as(NAMELESS) }).up()).connection);
});

test('an ordinary user is told whose the files are', async (t) => {
  if (!nobodyCanRun) return t.skip('needs root, and a node that nobody can run');
  const dataDir = await usedDataFolder();
  await chown(dataDir, NOBODY, NOBODY);
  await execFileAsync('chown', ['-R', '1:1', join(dataDir, 'postgres')]);
  const failed = await run({ dataDir, checkout, through: as(NOBODY) }).said('failed');
  assert.match(String(failed.message), /postgres belongs to user id 1; start as that user/);
});

function run(start: Parameters<typeof startProcess>[0]): EmbeddedProcess {
  const service = startProcess(start);
  started.add(service);
  return service;
}

function as(uid: number): string[] {
  return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
}

async function closedFolder(name: string, uid = 0): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  await chown(path, uid, uid);
  await chmod(path, 0o700);
  return path;
}

async function works(command: readonly string[]): Promise<boolean> {
  const [file = '', ...args] = command;
  return await execFileAsync(file, args).then(
    () => true,
    () => false,
  );
}

async function query(connection: Parameters<typeof connect>[0], text = 'select 1'): Promise<void> {
  const sql = connect(connection, { max: 1 });
  await sql.unsafe(text);
  await sql.end({ timeout: 1 });
}

async function rights(pid: number | null): Promise<{ uid: Account['uid']; capabilities: number }> {
  const { stdout } = await execFileAsync('cat', [`/proc/${pid}/status`]);
  const uid = Number(/^Uid:\t(\d+)/m.exec(stdout)?.[1]);
  return { uid, capabilities: Number.parseInt(/^CapPrm:\t([0-9a-f]+)/m.exec(stdout)?.[1] ?? '', 16) };
}
