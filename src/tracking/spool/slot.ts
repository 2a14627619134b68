import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { mkdir, readdir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { syncFolder } from './disk.ts';

// A slot is the folder of one process's spool. It is made under a temporary name with a listening socket in it and
// then renamed into place, so a slot whose socket refuses has lost its owner and never had none to begin with. Whoever
// renames a dead slot into its own has adopted it: the rename succeeds for one only, and names never come back.
// Names of any other form in the spool folder are not ours: they are neither moved nor removed.

export interface Slot {
  readonly folder: string;
  readonly name: string;
  /** Gives the slot up; another process may then adopt what is in it. */
  release(): Promise<void>;
}

const SOCKET = 'owner.sock';
const TEMPORARY = '.new-';
const ADOPTED = 'adopted';
const NAME = /^\d{14}-[0-9a-f]{8}$/;
const JOURNAL = /^\d+$/;
/** `sun_path` holds 108 bytes on Linux, 104 on macOS, the final NUL included. */
const LONGEST_SOCKET_PATH = process.platform === 'linux' ? 107 : 103;
const TEMPORARY_FOR_MS = 60_000;

/** A name no slot ever had; names sort by the time they were made. */
export function newSlotFolder(spoolFolder: string): string {
  return join(spoolFolder, `${String(Date.now()).padStart(14, '0')}-${randomBytes(4).toString('hex')}`);
}

/** Makes the slot of this process, with the folders above it. May be tried again after a failure. */
export async function claimSlot(folder: string): Promise<Slot> {
  const spoolFolder = dirname(folder);
  const name = basename(folder);
  const temporary = join(spoolFolder, TEMPORARY + name);
  await mkdir(spoolFolder, { recursive: true, mode: 0o700 });
  await mkdir(temporary, { mode: 0o700 });
  let owner: Owner | null = null;
  try {
    owner = await listenIn(temporary);
    await rename(temporary, folder);
    await syncFolder(spoolFolder);
  } catch (error) {
    await owner?.close();
    await removeEmpty(temporary);
    throw error;
  }
  return { folder, name, release: owner.close };
}

/**
 * Moves every slot without a living owner into `slot` and returns the folders of all that are now in it, oldest first,
 * those of earlier calls included: a call that failed half way may have moved some. Safe while other processes do the
 * same.
 */
export async function adoptDeadSlots(spoolFolder: string, slot: Slot): Promise<string[]> {
  const mine = join(slot.folder, ADOPTED);
  for (const name of (await readdir(spoolFolder)).sort()) {
    const folder = join(spoolFolder, name);
    const temporary = name.startsWith(TEMPORARY);
    if (name === slot.name || !NAME.test(temporary ? name.slice(TEMPORARY.length) : name)) continue;
    if (!(await isDead(folder))) continue;
    if (temporary) await removeLeftover(folder);
    else await adopt(folder, mine, name);
  }
  const names = await slotsIn(mine);
  if (names.length === 0) return [];
  for (const name of names) await lift(join(mine, name), mine);
  await syncFolder(mine);
  await syncFolder(spoolFolder);
  return (await slotsIn(mine)).map((name) => join(mine, name));
}

/** The journals of a slot: the names of its folders of segments, in order. */
export async function journalNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => JOURNAL.test(name)).sort();
}

/** Removes a slot of which every hit was read, but for what is not ours or cannot be read: that stays for a person. */
export async function removeSlot(folder: string): Promise<void> {
  const left = await readdir(folder, { recursive: true });
  if (left.some((name) => name.endsWith('.seg'))) return;
  for (const name of await journalNames(folder)) {
    const journal = join(folder, name);
    for (const file of ['cursor', 'cursor.new']) await unlink(join(journal, file)).catch(() => undefined);
    await rmdir(journal).catch(() => undefined);
  }
  await rmdir(join(folder, ADOPTED)).catch(() => undefined);
  await removeEmpty(folder);
}

async function adopt(folder: string, mine: string, name: string): Promise<void> {
  await mkdir(mine, { recursive: true, mode: 0o700 });
  try {
    await rename(folder, join(mine, name));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error; // else somebody else was first
  }
}

/**
 * What a slot had itself adopted moves up into `mine`, so that folders do not nest deeper with every crash. All levels:
 * an owner may have died between adopting a slot and lifting what was in it.
 */
async function lift(folder: string, mine: string): Promise<void> {
  const inner = join(folder, ADOPTED);
  for (const name of await slotsIn(inner)) {
    const lifted = join(mine, name);
    await rename(join(inner, name), lifted);
    await lift(lifted, mine);
  }
  await rmdir(inner).catch(() => undefined);
}

/** Names of slots in a folder, oldest first; none when there is no such folder. */
async function slotsIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => NAME.test(name)).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

async function isDead(folder: string): Promise<boolean> {
  const code = await knock(folder);
  return code === 'ECONNREFUSED' || code === 'ENOENT';
}

/** The code of the refusal, or '' for a socket that answers. */
async function knock(folder: string): Promise<string> {
  let path: SocketPath;
  try {
    path = socketPath(folder);
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? 'GONE' : codeOf(error);
  }
  try {
    return await new Promise((resolve) => {
      const socket = connect(path.name);
      socket.once('connect', () => {
        socket.destroy();
        resolve('');
      });
      socket.once('error', (error) => resolve(codeOf(error)));
    });
  } finally {
    path.close();
  }
}

/** A process that died between making the folder and renaming it left nothing worth keeping. */
async function removeLeftover(folder: string): Promise<void> {
  const made = await stat(folder).catch(() => null);
  if (made === null || Date.now() - made.mtimeMs < TEMPORARY_FOR_MS) return;
  await removeEmpty(folder);
}

/** A folder with at most a socket in it; one with anything else stays. */
async function removeEmpty(folder: string): Promise<void> {
  await unlink(join(folder, SOCKET)).catch(() => undefined);
  await rmdir(folder).catch(() => undefined);
}

interface Owner {
  close(): Promise<void>;
}

async function listenIn(folder: string): Promise<Owner> {
  const path = socketPath(folder);
  const server: Server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path.name, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    path.close();
    throw error;
  }
  server.unref();
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          path.close();
          resolve();
        });
      }),
  };
}

interface SocketPath {
  readonly name: string;
  close(): void;
}

/** Paths too long for a socket address go through an open descriptor of their folder, which Linux offers as a path. */
function socketPath(folder: string): SocketPath {
  const whole = join(folder, SOCKET);
  if (Buffer.byteLength(whole) <= LONGEST_SOCKET_PATH) {
    fs.statSync(folder);
    return { name: whole, close: () => undefined };
  }
  if (process.platform !== 'linux') throw new Error(`The data folder's path is too long for a socket: ${whole}`);
  const fd = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  return { name: `/proc/self/fd/${fd}/${SOCKET}`, close: () => fs.closeSync(fd) };
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
