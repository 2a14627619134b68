import { connect, createServer, type Socket } from 'node:net';

/** A way to a server on this machine that can be shut, so that the server seems to be gone. */
export interface Gate {
  /** On 127.0.0.1; stays the same. */
  readonly port: number;
  /** Cuts every connection, and refuses new ones. */
  shut(): Promise<void>;
  open(): Promise<void>;
  /** Who is connected through it now. */
  connections(): number;
}

export interface GateOptions {
  /** A connection ends as soon as the server has said this. */
  readonly lastWords?: string;
}

export async function openGate(target: number, { lastWords }: GateOptions = {}): Promise<Gate> {
  const sockets = new Set<Socket>();
  const visitors = new Set<Socket>();
  const keep = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      sockets.delete(socket);
      other.destroySoon();
    });
  };
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    visitors.add(near);
    near.once('close', () => visitors.delete(near));
    keep(near, far);
    keep(far, near);
    near.pipe(far).pipe(near);
    // After the pipe, which has passed it on by then.
    if (lastWords !== undefined) far.on('data', (said) => said.includes(lastWords) && near.destroySoon());
  });
  const listen = (port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
  const port = await listen(0);
  return {
    port,
    async shut() {
      if (!server.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    async open() {
      if (!server.listening) await listen(port);
    },
    connections: () => visitors.size,
  };
}
