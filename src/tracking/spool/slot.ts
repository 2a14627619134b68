import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { syncFolder } from './disk.ts';

// A slot is the folder of one process's spool. It is made under a temporary name with a listening socket in it and
// then renamed into place, so a slot whose socket refuses has lost its owner and never had none to begin with. Whoever
// renames a dead slot into its own has adopted it: the rename succeeds for one only, and names never come back.

export interface Slot {
  readonly folder: string;
  readonly name: string;
  /** Gives the slot up; another process may then adopt what is in it. */
  release(): Promise<void>;
}

const SOCKET = 'owner.sock';
const TEMPORARY = '.new-';
const ADOPTED = 'adopted';
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
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  return { folder, name, release: owner.close };
}

/**
 * Moves every slot without a living owner into `slot` and returns the folders that are now ours, oldest first. Safe
 * while other processes do the same.
 */
export async function adoptDeadSlots(spoolFolder: string, slot: Slot): Promise<string[]> {
  const adopted: string[] = [];
  for (const name of (await readdir(spoolFolder)).sort()) {
    const folder = join(spoolFolder, name);
    if (name === slot.name || !(await isDead(folder))) continue;
    if (name.startsWith(TEMPORARY)) await removeLeftover(folder);
    else adopted.push(...(await adopt(folder, name, slot)));
  }
  if (adopted.length > 0) await syncFolder(spoolFolder);
  return adopted;
}

async function adopt(folder: string, name: string, slot: Slot): Promise<string[]> {
  const mine = join(slot.folder, ADOPTED);
  await mkdir(mine, { recursive: true, mode: 0o700 });
  try {
    await rename(folder, join(mine, name));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []; // somebody else was first
    throw error;
  }
  // What it had itself adopted moves up, so that folders do not nest deeper with every crash.
  const inner = join(mine, name, ADOPTED);
  const grand = await readdir(inner).catch(() => []);
  for (const older of grand) await rename(join(inner, older), join(mine, older));
  await rm(inner, { recursive: true, force: true });
  await syncFolder(mine);
  return [...grand.sort(), name].map((each) => join(mine, each));
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
  await rm(folder, { recursive: true, force: true });
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
