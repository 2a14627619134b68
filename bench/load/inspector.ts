// What a process of Node says of itself through its inspector: the true size of its heap, after a collection.
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { WebSocket } from 'undici';
import { eventually, type Service } from '../../test/support/service.ts';

export interface Memory {
  /** Kilobytes of 1,024 bytes. */
  readonly resident: number;
  readonly heap: number;
  /** Outside of the heap: buffers. */
  readonly external: number;
}

export interface Inspector {
  /** After two collections. */
  memory(): Promise<Memory>;
  close(): void;
}

/** For the environment of a service that is to be inspected: any free port, opened by the signal alone. */
export const INSPECTED = { NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --inspect-port=127.0.0.1:0`.trim() };

export async function inspect(service: Service): Promise<Inspector> {
  service.child.kill('SIGUSR1');
  const url = await eventually(
    'the inspector listens',
    () => /Debugger listening on (ws:\S+)/.exec(service.errors())?.[1],
  );
  const socket = new WebSocket(url);
  const asked = new Map<number, (result: unknown) => void>();
  socket.addEventListener('message', ({ data }) => {
    const answer: unknown = JSON.parse(String(data));
    asked.get(Number(Reflect.get(Object(answer), 'id')))?.(Reflect.get(Object(answer), 'result'));
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve());
    socket.addEventListener('error', () => reject(new Error(`no way to the inspector at ${url}`)));
  });
  let count = 0;
  const ask = (method: string, params: object = {}): Promise<unknown> =>
    new Promise((resolve) => {
      const id = ++count;
      asked.set(id, resolve);
      socket.send(JSON.stringify({ id, method, params }));
    });
  return {
    async memory() {
      for (let turn = 0; turn < 2; turn++) await ask('HeapProfiler.collectGarbage');
      const said = await ask('Runtime.evaluate', { expression: 'JSON.stringify(process.memoryUsage())' });
      const value: unknown = Reflect.get(Object(Reflect.get(Object(said), 'result')), 'value');
      const { heapUsed, external } = Object(JSON.parse(String(value)));
      return { resident: await residentKb(service.child), heap: heapUsed / 1024, external: external / 1024 };
    },
    close: () => socket.close(),
  };
}

async function residentKb({ pid }: ChildProcess): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
