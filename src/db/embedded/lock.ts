// One service per data folder. A holder is a unix socket that listens in the folder: the kernel closes it however
// the holder dies, so nothing stale can lock anybody out, and unlike a pid it cannot be taken for another process.
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, realpathSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from './errno.ts';

export interface Lock {
  release(): Promise<void>;
}

export type Locking = { readonly kind: 'held'; readonly lock: Lock } | { readonly kind: 'taken'; readonly pid: number };

/** How long two services that start in the same moment give way to each other before both are refused. */
const PATIENCE_MS = 5_000;

/**
 * Takes the folder (made if missing, 0700) for this process. Names tell the state: `s.` starting, `h.` holding.
 * Everyone listens first and looks around second, so of two that start together at least one sees the other.
 */
export async function lockFolder(folder: string): Promise<Locking> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const reach = openReach(folder);
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const name = `${process.pid}.${randomBytes(2).toString('hex')}`;
    const server = await listen(reach.path, folder, name);
    // Twice: a listing made while the other is being renamed may miss it, and it is renamed once.
    const look = (): ReturnType<typeof findOther> => findOther(reach.path, folder, `s.${name}`);
    const other = (await look()) ?? (await look());
    if (other === null && (await renamed(join(folder, `s.${name}`), join(folder, `h.${name}`)))) {
      return { kind: 'held', lock: { release: () => release(server, join(folder, `h.${name}`), reach) } };
    }
    await close(server);
    await rm(join(folder, `s.${name}`), { force: true });
    if (other !== null && (other.holding || Date.now() > deadline)) {
      reach.close();
      return { kind: 'taken', pid: other.pid };
    }
    await sleep(20 + Math.random() * 60);
  }
}

interface Reach {
  readonly path: string;
  close(): void;
}

/** Socket paths end at 103 or 107 bytes; on Linux a descriptor of the folder stands in for a path of any length. */
function openReach(folder: string): Reach {
  const real = realpathSync(folder);
  if (process.platform !== 'linux') return { path: real, close: () => {} };
  const fd = openSync(real, 'r');
  return { path: `/proc/self/fd/${fd}`, close: () => closeSync(fd) };
}

/** Listens under a name nobody looks at, then appears as `s.`: a socket that is seen always answers. */
async function listen(reach: string, folder: string, name: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: `${reach}/t.${name}`, exclusive: true }, resolve);
  });
  server.unref();
  await rename(join(folder, `t.${name}`), join(folder, `s.${name}`));
  return server;
}

/** Another live process here, one that holds before one that starts. Removes the sockets of dead ones. */
async function findOther(
  reach: string,
  folder: string,
  own: string,
): Promise<{ readonly pid: number; readonly holding: boolean } | null> {
  let starting: { pid: number; holding: boolean } | null = null;
  for (const name of await readdir(folder)) {
    const match = /^([sh])\.(\d+)\./.exec(name);
    if (!match || name === own) continue;
    if (!(await answers(`${reach}/${name}`))) {
      await rm(join(folder, name), { force: true });
      continue;
    }
    const other = { pid: Number(match[2]), holding: match[1] === 'h' };
    if (other.holding) return other;
    starting = other;
  }
  return starting;
}

async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // Anything else (a full backlog, no permission, just renamed) means that somebody is or was there.
    socket.once('error', (error) => resolve(!hasCode(error, 'ECONNREFUSED')));
  });
}

async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

async function release(server: Server, path: string, reach: Reach): Promise<void> {
  await rm(path, { force: true });
  await close(server);
  reach.close();
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
