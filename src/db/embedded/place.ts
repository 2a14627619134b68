// The folders of the embedded server. Everything lies in the data folder unless its path or its walls forbid it.
import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readlink, realpath, rename, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { StartError } from '../../errors.ts';
import { type Account, isRoot } from './account.ts';
import { hasCode, isThere } from './errno.ts';
import type { Launcher } from './launch.ts';

/** sun_path less its final zero. */
const MAX_SOCKET_PATH = process.platform === 'darwin' ? 103 : 107;
const SOCKET_NAME = '/.s.PGSQL.5432';

/**
 * Makes the data folder if it is missing; returns its true path. For root it may be passed through (0711), which keeps
 * the server's account from needing more rights: what else lies in it must be closed by its own mode.
 */
export async function openDataFolder(dataDir: string): Promise<string> {
  const made = await mkdir(dataDir, { recursive: true });
  const folder = await realpath(dataDir);
  if (made !== undefined) await chmod(folder, 0o700);
  if (isRoot()) await chmod(folder, ((await stat(folder)).mode & 0o7777) | 0o011);
  return folder;
}

/** The folder that holds the cluster `postgres`: the data folder, or where an earlier start had to place it. */
export async function clusterHome(dataFolder: string): Promise<string> {
  const cluster = join(dataFolder, 'postgres');
  const target = await readlink(cluster).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT', 'EINVAL')) return null; // not there, or not a link
    throw error;
  });
  if (target === null) return dataFolder;
  // Ours, or the operator's (to a faster disk perhaps). No new cluster may appear where that is gone or not mounted.
  const ours = dirname(target) === homeElsewhere(dataFolder);
  if (!(await isThere(ours ? dirname(target) : target))) {
    throw new StartError([`The database lies in ${target} (${cluster} leads there), which is gone or not mounted`]);
  }
  return ours ? dirname(target) : dataFolder;
}

/**
 * A home that every account can pass into, for a data folder whose path the server's account cannot. The data folder
 * gets a link to it first; so files found there without that link are of a data folder that has been deleted.
 */
export async function openHomeElsewhere(dataFolder: string): Promise<string> {
  const home = homeElsewhere(dataFolder);
  await openOwnFolder(home, 0o711);
  const cluster = join(home, 'postgres');
  if (await isThere(cluster)) await rename(cluster, `${cluster}.abandoned-${Date.now()}`);
  await symlink(cluster, join(dataFolder, 'postgres'));
  return home;
}

/**
 * The private folder for the server's socket: `run` in the data folder, or, where that path is too long for a
 * socket, below the temporary folder under a name made from the data folder's path.
 */
export async function openSocketFolder(home: string, launcher: Launcher): Promise<string> {
  let parent = home;
  if (Buffer.byteLength(join(home, 'run') + SOCKET_NAME) > MAX_SOCKET_PATH) {
    const uid = process.geteuid?.() ?? 0;
    parent = join(await realpath(tmpdir()), `telltale-${uid}-${mark(home)}`);
    if (Buffer.byteLength(join(parent, 'run') + SOCKET_NAME) > MAX_SOCKET_PATH) {
      throw new StartError([`TMPDIR (${tmpdir()}) is too long a path for a socket; use a shorter one`]);
    }
    await openOwnFolder(parent, launcher.account !== null && !launcher.passesFolders ? 0o711 : 0o700);
  }
  const folder = join(parent, 'run');
  await openServerFolder(folder, launcher.account);
  return folder;
}

/** Makes or checks a folder that must belong to the server's account and to nobody else. */
export async function openServerFolder(folder: string, account: Account | null): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (!hasCode(error, 'EEXIST')) throw error;
  });
  const found = await lstat(folder);
  if (!found.isDirectory()) throw new StartError([`${folder} is not a folder`]);
  if (account !== null) await chown(folder, account.uid, account.gid);
  await chmod(folder, 0o700);
}

/** In a place others can write to, only a folder that was ours from its first moment can be trusted. */
async function openOwnFolder(folder: string, mode: number): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (!hasCode(error, 'EEXIST')) throw error;
  });
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== process.geteuid?.() || (found.mode & 0o022) !== 0) {
    throw new StartError([`${folder} is in the way: it must be a folder that belongs to us and is closed to others`]);
  }
  await chmod(folder, mode);
}

function homeElsewhere(dataFolder: string): string {
  return join('/var/lib', `telltale-${mark(dataFolder)}`);
}

function mark(path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 16);
}
