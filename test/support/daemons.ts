// Foreign server processes below one folder, which end with the test whatever becomes of it (Linux).
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { eventually } from './service.ts';

export interface Daemons {
  /** The first that is gone, as a sentence; null while all are there. */
  gone(): string | null;
  /** Kills the process of a command with all its children, and starts it anew. */
  restart(command: number): Promise<void>;
  /** Ends every process and removes the folder. */
  close(): Promise<void>;
}

/** Each command has to name the folder among its arguments and to stay in the foreground. */
export function startDaemons(folder: string, commands: readonly (readonly [string, ...string[]])[]): Daemons {
  let gone: string | null = null;
  const wanted = new Set<ChildProcess>();
  const start = ([program, ...args]: readonly [string, ...string[]]): ChildProcess => {
    // A group of its own: it is ended as a whole.
    const child = spawn(program, args, { detached: true, stdio: 'ignore' });
    wanted.add(child);
    child.once('error', (error) => {
      gone ??= `${program} did not start: ${error.message}`;
    });
    child.once('exit', (code) => {
      if (wanted.has(child)) gone ??= `${program} ended with ${code}`;
    });
    child.unref();
    return child;
  };
  const children = commands.map(start);
  const pids = children.flatMap(({ pid }) => (pid === undefined ? [] : [String(pid)]));
  // Told by the end of the pipe, which comes with the end of this process too.
  const guard = spawn('/bin/sh', ['-c', GUARD, folder, ...pids], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const guarded = new Promise<void>((resolve) => guard.once('exit', () => resolve()));
  guard.unref();
  return {
    gone: () => gone,
    async restart(at) {
      const [command, child] = [commands[at], children[at]];
      if (command === undefined || child?.pid === undefined) throw new Error(`there is no command ${at}`);
      wanted.delete(child);
      const ended = new Promise((resolve) => child.once('exit', resolve));
      process.kill(-child.pid, 'SIGKILL');
      await ended;
      const next = start(command);
      children[at] = next;
      await appendFile(join(folder, RESTARTED), `${next.pid}\n`);
    },
    close() {
      guard.ref();
      guard.stdin.end();
      return guarded;
    },
  };
}

/** Lists the processes that were started later, for the guard. */
const RESTARTED = 'restarted';

const GUARD = `
cat >/dev/null
for pid in "$@" $(cat "$0/${RESTARTED}" 2>/dev/null); do
  grep -q -s -F -e "$0" "/proc/$pid/cmdline" && kill -s KILL -- "-$pid"
done
rm -rf "$0" || { sleep 0.3; rm -rf "$0"; }
`;

/** Resolves when a server on this machine says its first word there. */
export function greeted(port: number, daemons: Daemons): Promise<true> {
  return eventually(`a greeting on port ${port}`, async () => {
    const problem = daemons.gone();
    if (problem !== null) throw new Error(problem);
    return (await greets(port)) || undefined;
  });
}

function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', () => {
      resolve(true);
      socket.end();
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}

/** A free port that no outgoing connection of this machine can take meanwhile: those begin at 32768 (Linux). */
export async function portForServer(): Promise<number> {
  for (;;) {
    const port = randomInt(12_000, 32_000);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
