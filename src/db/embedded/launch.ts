// How the PostgreSQL programs are started: under which account, and so that they do not outlive us.
import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import type { Account } from './account.ts';
import type { Binaries } from './platform.ts';

export interface Launcher {
  /** null: the account we have ourselves */
  readonly account: Account | null;
  /** The account may pass through folders that are closed to it. */
  readonly passesFolders: boolean;
  /** The kernel tells the program when we are gone. */
  readonly tied: boolean;
  readonly setpriv: readonly string[];
}

export type Trial = { readonly works: true } | { readonly works: false; readonly reason: string };

const execFileAsync = promisify(execFile);
const TRIAL_MS = 10_000;

/**
 * Ways to start a program, best first; `tryLauncher` tells which works here. The signal at our death hangs on the
 * thread that spawned, so the server must be started from the main one; a new session does not change it.
 */
export function launchers(account: Account | null): readonly Launcher[] {
  if (account === null) {
    return [
      { account, passesFolders: false, tied: true, setpriv: ['--no-new-privs'] },
      { account, passesFolders: false, tied: false, setpriv: [] },
    ];
  }
  const become = [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups', '--no-new-privs'];
  // access(2) ignores the capabilities of a process that is not root unless the last bit is set; PostgreSQL asks it.
  const pass = [
    '--inh-caps=-all,+dac_read_search',
    '--ambient-caps=-all,+dac_read_search',
    '--bounding-set=-all,+dac_read_search',
    '--securebits=+no_setuid_fixup',
  ];
  return [
    { account, passesFolders: false, tied: true, setpriv: [...become, '--inh-caps=-all'] },
    { account, passesFolders: true, tied: true, setpriv: [...become, ...pass] },
    { account, passesFolders: false, tied: false, setpriv: [] },
    // util-linux before 2.33 knows capabilities but no signal at the parent's death
    { account, passesFolders: true, tied: false, setpriv: [...become, ...pass] },
  ];
}

/** Enters the folder that will hold the cluster and asks the server program there for its version. */
export async function tryLauncher(launcher: Launcher, binaries: Binaries, folder: string): Promise<Trial> {
  return await trial(launcher, 'cd "$1" && exec "$0" --version', [binaries.postgres, folder]);
}

/** Only whether the folder can be entered. */
export async function tryFolder(launcher: Launcher, folder: string): Promise<Trial> {
  return await trial(launcher, 'cd "$0"', [folder]);
}

/**
 * Starts a program in a session of its own (a terminal's Ctrl-C must not reach it), its standard error piped to us.
 * `onOurDeath` is the signal it gets when we vanish, where the system can do that.
 */
export function launch(
  launcher: Launcher,
  onOurDeath: 'INT' | 'KILL',
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const [file, all, options] = command(launcher, onOurDeath, program, args);
  return spawn(file, all, {
    ...options,
    env: { ...options.env, ...env },
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

async function trial(launcher: Launcher, script: string, parameters: readonly string[]): Promise<Trial> {
  const [file, args, options] = command(launcher, 'KILL', '/bin/sh', ['-c', script, ...parameters]);
  try {
    await execFileAsync(file, args, { ...options, timeout: TRIAL_MS });
    return { works: true };
  } catch (error) {
    return { works: false, reason: lastLine(error) };
  }
}

function command(
  launcher: Launcher,
  onOurDeath: string,
  program: string,
  args: readonly string[],
): [string, string[], SpawnOptions] {
  // Nothing of our environment: it holds secrets, and PG* variables would change what the programs do.
  const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', LANG: 'C', LC_ALL: 'C' };
  const options = { cwd: '/', env };
  const signal = launcher.tied ? [`--pdeathsig=${onOurDeath}`] : [];
  if (launcher.setpriv.length > 0) {
    return ['setpriv', [...signal, ...launcher.setpriv, '--', program, ...args], options];
  }
  const { account } = launcher;
  return [program, [...args], account === null ? options : { ...options, uid: account.uid, gid: account.gid }];
}

function lastLine(error: unknown): string {
  const text =
    error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' && error.stderr !== ''
      ? error.stderr
      : String(error);
  return text.trim().split('\n').at(-1) ?? '';
}
