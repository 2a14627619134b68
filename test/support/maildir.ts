import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The mails of one maildir folder, in the order of their arrival; none where the folder does not exist yet. */
export async function readMaildir(folder: string): Promise<readonly Buffer[]> {
  const found = await Promise.all(['new', 'cur'].map((part) => files(join(folder, part))));
  const inOrder = found.flat().sort((one, other) => one.arrived - other.arrived);
  const mails = await Promise.all(inOrder.map(({ path }) => unlessGone(readFile(path))));
  return mails.flatMap((mail) => mail ?? []);
}

/** Moved or removed since the folder was listed. */
async function unlessGone<T>(read: Promise<T>): Promise<T | null> {
  return await read.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}

async function files(folder: string): Promise<{ path: string; arrived: number }[]> {
  const names = (await unlessGone(readdir(folder))) ?? [];
  return names.map((name) => ({ path: join(folder, name), arrived: arrivalOf(name) }));
}

/** Unix microseconds, from names such as 1763770000.M123456P77.host,S=812,W=830:2,S */
function arrivalOf(name: string): number {
  const [, seconds, micros] = /^(\d+)\.M(\d+)P/.exec(name) ?? [];
  return Number(seconds ?? 0) * 1_000_000 + Number(micros ?? 0);
}
