// Receivers of webhooks: one that works, and those that fail in the ways receivers fail.
import { createServer } from 'node:http';
import { createServer as createTcpServer, type Server } from 'node:net';
import { answerParent, sharedClock } from './child.ts';

/** When a reader (see `deliverer.ts`) was first told of. */
const arrivals = new Map<number, number>();

const live = createServer((request, response) => {
  const at = sharedClock();
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    response.end();
    const newest = /.*"reader-(\d+)"/s.exec(Buffer.concat(chunks).toString('latin1'))?.[1];
    if (newest !== undefined && !arrivals.has(Number(newest))) arrivals.set(Number(newest), at);
  });
});
const broken = createServer((request, response) => {
  request.resume().on('end', () => response.writeHead(500).end('broken'));
});
const hanging = createTcpServer((socket) => void socket.resume().on('error', () => {}));
const resetting = createTcpServer((socket) => {
  socket.on('error', () => {}).once('data', () => socket.resetAndDestroy());
});
const gone = createTcpServer();

const ports = {
  live: await listen(live),
  broken: await listen(broken),
  hanging: await listen(hanging),
  resetting: await listen(resetting),
  refusing: await listen(gone),
};
gone.close();

answerParent({
  ports: () => ports,
  arrivals() {
    const found = [...arrivals];
    arrivals.clear();
    return found;
  },
});

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
}
