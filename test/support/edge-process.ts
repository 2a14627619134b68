import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface EdgeProcess {
  readonly child: ChildProcess;
  readonly port: number;
}

const PROGRAM = fileURLToPath(new URL('./edge-program.js', import.meta.url));

/** Starts the edge in a process of its own; `before` is a command line put in front of it. */
export async function spawnEdge(dataDir: string, before: readonly string[] = []): Promise<EdgeProcess> {
  const [program = '', ...args] = [...before, process.execPath, PROGRAM, dataDir];
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`the edge ended with ${code}`);
  });
  const [port] = await Promise.race([once(child, 'message'), failed]);
  failed.catch(() => undefined);
  return { child, port };
}
