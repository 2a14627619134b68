// One run of the server: clear the way, start it, wait until it answers, stop it.
import type { ChildProcess } from 'node:child_process';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { StartError } from '../../errors.ts';
import { isConnectionLost } from '../pool.ts';
import { hasCode } from './errno.ts';
import { type Launcher, launch } from './launch.ts';
import { occupantOf, readPidFile, strayBackends } from './pid-file.ts';
import type { Binaries } from './platform.ts';
import { type Log, readServerLog } from './server-log.ts';
import { asArguments, SETTINGS, type Settings } from './settings.ts';

export interface PostmasterDeps {
  readonly cluster: string;
  readonly socketFolder: string;
  readonly binaries: Binaries;
  readonly launcher: Launcher;
  readonly settings: Settings;
  readonly log: Log;
}

export interface Connection {
  /** folder of the server's unix socket */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly username: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface Postmaster {
  readonly pid: number;
  /** Settles when the server is gone, however that came. */
  readonly exited: Promise<Exit>;
  /** Resolves when it takes connections; rejects with what it said when it ended instead. */
  ready(): Promise<void>;
  /** Fast shutdown; an immediate one after 10 s, the end by force after 15 s. Resolves when it is gone. */
  stop(): Promise<void>;
  /** While held, the server keeps our process alive. */
  hold(held: boolean): void;
}

const POLL_MS = 10;
/** Inside the time most supervisors give us in all; an immediate stop only means recovery at the next start. */
const FAST_STOP_MS = 10_000;
const IMMEDIATE_STOP_MS = 5_000;
const REPORT_WAIT_MS = 5_000;

/** The role of the service owns its database and nothing else: a server that may read any file must not do so for SQL. */
const DATABASE = 'telltale';
const ROLE = 'telltale';
const SUPERUSER = 'postgres';

export function connectionAt(socketFolder: string, port = 5432): Connection {
  return { host: socketFolder, port, database: DATABASE, username: ROLE };
}

/** For making databases and for tests, never for the service's own queries. */
export function superuserConnection(connection: Connection): Connection {
  return { ...connection, database: 'postgres', username: SUPERUSER };
}

/** Starts the server; a server of the same cluster that nobody supervises any more is stopped first. */
export async function startPostmaster(deps: PostmasterDeps): Promise<Postmaster> {
  const env = await clearWay(deps);
  const settings = { ...SETTINGS, ...deps.settings, listen_addresses: '', unix_socket_permissions: '0700' };
  const args = ['-D', deps.cluster, '-k', deps.socketFolder, ...asArguments(settings)];
  const child = launch(deps.launcher, 'INT', deps.binaries.postgres, args, env);
  const { pid, stderr } = child;
  if (pid === undefined || stderr === null) throw new StartError([await spawnFailure(child)]);
  const serverLog = readServerLog(stderr, deps.log);
  let ended: Exit | null = null;
  const exited = new Promise<Exit>((resolve) => {
    // `exit`, not `close`: backends that outlive a killed postmaster keep the pipe open.
    child.once('exit', (code, signal) => {
      ended = { code, signal };
      resolve(ended);
    });
  });
  const end = (): Exit | null => ended;

  return {
    pid,
    exited,
    ready: async () => {
      const begun = performance.now();
      let reportAt = begun + REPORT_WAIT_MS;
      while (end() === null) {
        const file = await readPidFile(deps.cluster);
        if (file?.pid === pid && file.status === 'ready' && (await answers(deps.socketFolder))) return;
        if (performance.now() > reportAt) {
          reportAt += REPORT_WAIT_MS;
          deps.log.warn({ pid, seconds: Math.round((performance.now() - begun) / 1000) }, 'postgres.still_starting');
        }
        await sleep(POLL_MS);
      }
      await sleep(POLL_MS); // its last words may still be in the pipe
      throw new StartError([`PostgreSQL ended while starting: ${serverLog.recent().join('\n')}`]);
    },
    stop: async () => {
      child.ref();
      for (const [signal, patience] of [
        ['SIGINT', FAST_STOP_MS],
        ['SIGQUIT', IMMEDIATE_STOP_MS],
        ['SIGKILL', IMMEDIATE_STOP_MS],
      ] as const) {
        if (end() !== null) return;
        child.kill(signal);
        if (await settlesWithin(exited, patience)) return;
        deps.log.error({ pid, signal }, 'postgres.stop_ignored');
      }
    },
    hold: (held) => {
      if (held) child.ref();
      else child.unref();
      if ('unref' in stderr && typeof stderr.unref === 'function' && !held) stderr.unref();
    },
  };
}

/** True when a failed start may succeed a moment later: processes of the last server are still going away. */
export async function sweepStrays(error: unknown, deps: PostmasterDeps): Promise<boolean> {
  if (!(error instanceof Error && /still in use|lock file .* already exists/.test(error.message))) return false;
  for (const pid of await strayBackends(deps.cluster)) {
    deps.log.warn({ pid }, 'postgres.stray_stopped');
    signalTo(pid, 'SIGQUIT');
  }
  return true;
}

/**
 * Deals with what the pid file names. PostgreSQL itself only asks whether the pid is taken: by another process (pids
 * repeat in containers) or by a zombie it would refuse for ever, so it is told to overlook that one. The file stays.
 */
async function clearWay(deps: PostmasterDeps): Promise<Readonly<Record<string, string>>> {
  const file = await readPidFile(deps.cluster);
  if (file === null) return {};
  if ((await occupantOf(file.pid, deps.cluster)) === 'server') await stopOrphan(file.pid, deps);
  // Only now is it certain that no server listens there.
  for (const name of await readdir(deps.socketFolder)) {
    if (name.startsWith('.s.PGSQL.')) await rm(join(deps.socketFolder, name), { force: true });
  }
  return (await occupantOf(file.pid, deps.cluster)) === 'other' ? { PG_GRANDPARENT_PID: String(file.pid) } : {};
}

async function stopOrphan(pid: number, deps: PostmasterDeps): Promise<void> {
  const begun = performance.now();
  for (const [signal, patience] of [
    ['SIGINT', FAST_STOP_MS],
    ['SIGQUIT', IMMEDIATE_STOP_MS],
  ] as const) {
    signalTo(pid, signal);
    const deadline = performance.now() + patience;
    while (performance.now() < deadline) {
      if ((await occupantOf(pid, deps.cluster)) !== 'server') {
        deps.log.warn({ pid, signal, ms: Math.round(performance.now() - begun) }, 'postgres.orphan_stopped');
        return;
      }
      await sleep(POLL_MS);
    }
  }
  throw new StartError([`A PostgreSQL server (pid ${pid}) runs on ${deps.cluster} and does not stop; stop it by hand`]);
}

function signalTo(pid: number, signal: 'SIGINT' | 'SIGQUIT'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return;
    throw new StartError([`A PostgreSQL server (pid ${pid}) runs there and we may not stop it: ${String(error)}`]);
  }
}

/** Connects once as the service does; makes its role and database when they are not there yet. */
async function answers(socketFolder: string): Promise<boolean> {
  try {
    await once(connectionAt(socketFolder), (sql) => sql`select 1`);
    return true;
  } catch (error) {
    // undefined role or database: a new cluster, or a first start that was interrupted here
    if (hasCode(error, '28000', '3D000')) {
      await once(superuserConnection(connectionAt(socketFolder)), makeDatabase);
      return true;
    }
    if (hasCode(error, '53300')) return true; // taken up to the last connection by the pools that waited for it
    if (isConnectionLost(error)) return false;
    throw error;
  }
}

async function makeDatabase(sql: postgres.Sql): Promise<void> {
  const [role] = await sql`select 1 from pg_roles where rolname = ${ROLE}`;
  if (!role) await sql`create role ${sql(ROLE)} login in role pg_monitor, pg_checkpoint`;
  const [database] = await sql`select 1 from pg_database where datname = ${DATABASE}`;
  if (!database) await sql`create database ${sql(DATABASE)} owner ${sql(ROLE)} strategy file_copy`;
}

async function once(connection: Connection, work: (sql: postgres.Sql) => PromiseLike<unknown>): Promise<void> {
  const sql = postgres({ ...connection, max: 1, connect_timeout: 5, fetch_types: false, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(ms, false, { signal: timer.signal }).catch(() => false);
  const settled = await Promise.race([promise.then(() => true), late]);
  timer.abort();
  return settled;
}

async function spawnFailure(child: ChildProcess): Promise<string> {
  const error: unknown = await new Promise((resolve) => child.once('error', resolve));
  return `PostgreSQL could not be started: ${String(error)}`;
}
