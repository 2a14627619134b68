// A database for a test file: a real server in a throw-away folder, started on first use, one database per call.
import { execFile, spawn } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, realpath, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import postgres from 'postgres';
import { isThere } from '../../src/db/embedded/errno.ts';
import { findBinaries } from '../../src/db/embedded/platform.ts';
import { superuserConnection } from '../../src/db/embedded/postmaster.ts';
import type { Settings } from '../../src/db/embedded/settings.ts';
import { type Embedded, startEmbedded } from '../../src/db/embedded.ts';
import { connect, type Sql } from '../../src/db/pool.ts';

export interface TestDatabase {
  readonly sql: Sql;
  readonly connection: Embedded['connection'];
  drop(): Promise<void>;
}

/** Brings an empty database to its schema; called once per process, later databases are copies of the first. */
export type Prepare = (sql: Sql) => Promise<unknown>;

const UNSAFE: Settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', autovacuum: 'off' };
const execFileAsync = promisify(execFile);

/** An empty, prepared database on a server that does not sync. `drop` must be called, or its pool holds the process. */
export async function testDatabase(prepare?: Prepare): Promise<TestDatabase> {
  quick ??= startThrowAway(UNSAFE);
  return await newDatabase(await quick, prepare);
}

/** The same on a server with the settings of the service, fsync included: for benches and crash tests. */
export async function durableDatabase(prepare?: Prepare): Promise<TestDatabase> {
  durable ??= startThrowAway({});
  return await newDatabase(await durable, prepare);
}

/** A folder that vanishes, after the server in it has stopped, when this process ends in whatever way. */
export async function throwAwayFolder(): Promise<string> {
  const folder = await mkdtemp(join(await testFolder(), 'run-'));
  await chmod(folder, 0o711);
  // Told by the end of the pipe; in a session of its own, so that a killed process group does not include it.
  spawn('/bin/sh', ['-c', CLEAN_UP, folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] }).unref();
  return folder;
}

/** A throw-away data folder that holds a finished cluster, stopped: what the second start of a service finds. */
export async function usedDataFolder(): Promise<string> {
  const folder = await throwAwayFolder();
  await execFileAsync('cp', ['-Rp', await template(), join(folder, 'postgres')]);
  return folder;
}

interface Server {
  readonly embedded: Embedded;
  readonly prepared: Map<Prepare, Promise<string>>;
  count: number;
}

let quick: Promise<Server> | null = null;
let durable: Promise<Server> | null = null;

/** Slim containers have no ps, macOS no /proc. */
const CLEAN_UP = `
serves() { { tr '\\0' ' ' <"/proc/$1/cmdline" || ps -p "$1" -o command=; } 2>/dev/null | grep -q -F -e "-D $0/postgres"; }
cat >/dev/null
if pid=$(head -n 1 "$0/postgres/postmaster.pid") && serves "$pid"; then
  kill -INT "$pid"
  n=0
  while serves "$pid" && [ $n -lt 500 ]; do n=$((n + 1)); sleep 0.02; done
fi
rm -rf "$0"
`;

async function startThrowAway(settings: Settings): Promise<Server> {
  const embedded = await startEmbedded({ dataDir: await usedDataFolder(), log: LOG, settings });
  return { embedded, prepared: new Map(), count: 0 };
}

async function newDatabase(server: Server, prepare: Prepare | undefined): Promise<TestDatabase> {
  const name = await createDatabase(server, prepare === undefined ? 'template1' : await preparedName(server, prepare));
  const connection = { ...server.embedded.connection, database: name };
  const sql = connect(connection);
  const drop = async (): Promise<void> => {
    await sql.end({ timeout: 1 });
    await asSuperuser(server, (admin) => admin`drop database if exists ${admin(name)} with (force)`);
  };
  return { sql, connection, drop };
}

async function preparedName(server: Server, prepare: Prepare): Promise<string> {
  const known = server.prepared.get(prepare);
  if (known !== undefined) return await known;
  const making = (async () => {
    const name = await createDatabase(server, 'template1');
    const sql = connect({ ...server.embedded.connection, database: name }, { max: 2 });
    try {
      await prepare(sql);
    } finally {
      await sql.end({ timeout: 1 });
    }
    return name;
  })();
  server.prepared.set(prepare, making);
  return await making;
}

async function createDatabase(server: Server, from: string): Promise<string> {
  server.count++;
  const name = `test_${server.count}`;
  const owner = server.embedded.connection.username;
  await asSuperuser(
    server,
    (admin) => admin`create database ${admin(name)} template ${admin(from)} owner ${admin(owner)} strategy file_copy`,
  );
  return name;
}

async function asSuperuser(server: Server, work: (sql: Sql) => PromiseLike<unknown>): Promise<void> {
  const sql = postgres({ ...superuserConnection(server.embedded.connection), max: 1, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** A finished cluster, made once per machine, package version and user; whoever is first puts it in place. */
async function template(): Promise<string> {
  const path = join(await testFolder(), `template-${findBinaries().version}`);
  if (await isThere(path)) return path;
  const folder = await throwAwayFolder();
  const embedded = await startEmbedded({ dataDir: folder, log: LOG });
  await embedded.stop();
  await rename(join(folder, 'postgres'), path).catch(async (error: unknown) => {
    if (!(await isThere(path))) throw error;
  });
  await rm(folder, { recursive: true, force: true });
  return path;
}

/** Below the temporary folder, ours alone to write. */
async function testFolder(): Promise<string> {
  const folder = join(await realpath(tmpdir()), `telltale-test-${process.geteuid?.() ?? 0}`);
  await mkdir(folder, { recursive: true, mode: 0o711 });
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== process.geteuid?.() || (found.mode & 0o022) !== 0) {
    throw new Error(`${folder} is not ours`);
  }
  return folder;
}

const LOG = {
  info: () => {},
  warn: () => {},
  error: (fields: object, event: string) => console.error(event, fields),
};
