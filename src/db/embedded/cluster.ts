// The files of the database: made whole or not at all.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chown, open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StartError } from '../../errors.ts';
import { type Account, ownName } from './account.ts';
import { isThere } from './errno.ts';
import { type Launcher, launch } from './launch.ts';
import { openServerFolder } from './place.ts';
import type { Binaries } from './platform.ts';
import { type Log, readServerLog } from './server-log.ts';
import { EmbeddedUnavailable } from './unavailable.ts';

export interface ClusterDeps {
  readonly home: string;
  readonly binaries: Binaries;
  readonly launcher: Launcher;
  readonly log: Log;
}

export interface Cluster {
  readonly folder: string;
  /** made by this call */
  readonly isNew: boolean;
}

const UNFINISHED = 'postgres.tmp-';

/**
 * Finds `postgres` in the home folder or makes it. It appears by a rename of a finished and synced folder, so its
 * being there is the proof that it is complete; `PG_VERSION` is none (initdb writes it early).
 */
export async function openCluster(deps: ClusterDeps): Promise<Cluster> {
  const { home, binaries, launcher, log } = deps;
  for (const name of await readdir(home)) {
    if (name.startsWith(UNFINISHED)) await removeUnfinished(join(home, name), log);
  }
  const folder = join(home, 'postgres');
  if (await isThere(folder)) {
    const real = await realpath(folder);
    await checkVersion(real, binaries.version);
    await checkOwner(real, launcher.account, log);
    return { folder: real, isNew: false };
  }
  if (launcher.account === null && ownName() === null) {
    throw new EmbeddedUnavailable(
      `initdb needs a name for its user id, and /etc/passwd has none for ${process.geteuid?.()}. Add a line such as ` +
        `"telltale:x:${process.geteuid?.()}:${process.getegid?.()}::/:/sbin/nologin", or start as a user who is listed`,
    );
  }
  const unfinished = join(home, UNFINISHED + randomBytes(4).toString('hex'));
  await openServerFolder(unfinished, launcher.account);
  try {
    await initialise(deps, unfinished);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
  await rename(unfinished, folder);
  await syncFolder(home);
  return { folder, isNew: true };
}

/** The account an existing cluster belongs to; null when there is none, or when it is root's (a restored backup). */
export async function clusterOwner(folder: string): Promise<Account | null> {
  if (!(await isThere(folder))) return null;
  const { uid, gid } = await stat(folder);
  return uid === 0 ? null : { name: `uid ${uid}`, uid, gid };
}

/** initdb syncs every file at its end (0.09 s of 0.5 s here). */
async function initialise(deps: ClusterDeps, folder: string): Promise<void> {
  const args = ['-D', folder, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C'];
  const child = launch(deps.launcher, 'KILL', deps.binaries.initdb, [...args, '--no-instructions']);
  if (child.stderr === null) throw new Error('initdb was started without a pipe');
  const lines = readServerLog(child.stderr, { info: () => {}, warn: () => {}, error: () => {} });
  const [code, signal]: unknown[] = await once(child, 'close');
  if (code === 0) return;
  const said = lines.recent().join('\n');
  if (/GLIBC|error while loading shared libraries|Library not loaded/.test(said)) throw new EmbeddedUnavailable(said);
  throw new StartError([`The database could not be made (initdb ended with ${code ?? signal}): ${said}`]);
}

async function checkVersion(folder: string, version: string): Promise<void> {
  const ours = version.split('.')[0];
  const theirs = (await readFile(join(folder, 'PG_VERSION'), 'utf8').catch(() => '')).trim();
  if (theirs === '' || theirs === ours) return;
  throw new StartError([
    `${folder} was made by PostgreSQL ${theirs}, this version of Telltale brings PostgreSQL ${ours}. ` +
      `Dump the database with PostgreSQL ${theirs} and restore it into a new data folder.`,
  ]);
}

async function checkOwner(folder: string, account: Account | null, log: Log): Promise<void> {
  const { uid } = await stat(folder);
  if (account === null) {
    if (uid === process.geteuid?.()) return;
    throw new StartError([`${folder} belongs to user id ${uid}; start as that user, or as root`]);
  }
  if (uid === account.uid) return;
  log.warn({ folder, account: account.name }, 'postgres.files_given_to_account');
  await giveAll(folder, account);
}

async function giveAll(folder: string, account: Account): Promise<void> {
  await chown(folder, account.uid, account.gid);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() || entry.isDirectory())
      await chown(join(entry.parentPath, entry.name), account.uid, account.gid);
  }
}

/** Left by a start that was interrupted. Its initdb may be alive for a moment yet, so failing here is no reason to stop. */
async function removeUnfinished(folder: string, log: Log): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
  } catch (error) {
    log.warn({ folder, error: String(error) }, 'postgres.leftover_not_removed');
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
