// PostgreSQL's own note about the server of a cluster, and whether the process it names is still that server.
import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { hasCode } from './errno.ts';

export interface PidFile {
  readonly pid: number;
  readonly port: number;
  readonly socketFolder: string;
  /** starting, stopping, ready, standby; empty before the server has come that far */
  readonly status: string;
}

export type Occupant =
  /** no process has this pid */
  | 'gone'
  /** the live postmaster of this cluster */
  | 'server'
  /** an unrelated process, or a zombie: PostgreSQL would take it for a live server */
  | 'other';

const execFileAsync = promisify(execFile);

/** null when there is none, or it is not written out yet. Layout: miscadmin.h, LOCK_FILE_LINE_*. */
export async function readPidFile(cluster: string): Promise<PidFile | null> {
  let text: string;
  try {
    text = await readFile(join(cluster, 'postmaster.pid'), 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
  return parsePidFile(text);
}

export function parsePidFile(text: string): PidFile | null {
  const lines = text.split('\n');
  const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10)); // a stand-alone backend writes it negative
  if (!Number.isSafeInteger(pid) || pid < 2) return null;
  return {
    pid,
    port: Number.parseInt(lines[3] ?? '', 10) || 0,
    socketFolder: lines[4] ?? '',
    status: (lines[7] ?? '').trim(),
  };
}

export async function occupantOf(pid: number, cluster: string): Promise<Occupant> {
  if (!exists(pid)) return 'gone';
  return process.platform === 'linux' ? await occupantByProc(pid, cluster) : await occupantByPs(pid, cluster);
}

/** Backends that outlived a killed postmaster; they keep its shared memory and so the next one out. Linux only. */
export async function strayBackends(cluster: string): Promise<readonly number[]> {
  if (process.platform !== 'linux') return [];
  const strays: number[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    if ((await occupantByProc(pid, cluster)) === 'server') strays.push(pid);
  }
  return strays;
}

async function occupantByProc(pid: number, cluster: string): Promise<Occupant> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return 'gone';
  }
  const end = stat.lastIndexOf(')');
  const command = stat.slice(stat.indexOf('(') + 1, end);
  const state = stat[end + 2];
  if (command !== 'postgres' || state === 'Z' || state === 'X') return 'other';
  // The server works inside its cluster. Another account's folder can be unreadable (a container's root has no
  // CAP_SYS_PTRACE); its arguments never are.
  const folder = await readlink(`/proc/${pid}/cwd`).catch(() => null);
  if (folder === cluster) return 'server';
  const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  return args[args.indexOf('-D') + 1] === cluster && args.includes('-D') ? 'server' : 'other';
}

async function occupantByPs(pid: number, cluster: string): Promise<Occupant> {
  try {
    const { stdout } = await execFileAsync('ps', ['-ww', '-o', 'stat=,command=', '-p', String(pid)]);
    const zombie = stdout.trimStart().startsWith('Z');
    return !zombie && stdout.includes('postgres') && stdout.includes(`-D ${cluster}`) ? 'server' : 'other';
  } catch {
    return 'gone';
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !hasCode(error, 'ESRCH');
  }
}
