// A port on which connecting hangs: somebody listens, but the queue before him is full (Linux drops what comes then).
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

export interface FullBacklog {
  readonly port: number;
  close(): Promise<void>;
}

const LISTENER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer().listen({ port: 0, host: workerData.host, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    setImmediate(() => Atomics.wait(new Int32Array(workerData.never), 0, 0)); // accepts nobody from here on
  });`;
const HANGS_MS = 300;

export async function fullBacklog(host = '127.0.0.1'): Promise<FullBacklog> {
  const worker = new Worker(LISTENER, { eval: true, workerData: { host, never: new SharedArrayBuffer(4) } });
  const [port] = await once(worker, 'message');
  const sockets: Socket[] = [];
  for (let isFull = false; !isFull; ) {
    const socket = connect(port, host);
    sockets.push(socket);
    const timer = new Promise<boolean>((resolve) => setTimeout(() => resolve(true), HANGS_MS));
    isFull = await Promise.race([once(socket, 'connect').then(() => false), timer]);
  }
  return {
    port,
    async close() {
      for (const socket of sockets) socket.on('error', () => {}).destroy();
      await worker.terminate();
    },
  };
}
