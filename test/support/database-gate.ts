import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection } from '../../src/db/pool.ts';

/** A way to the test database that can be shut, as if its server were gone for whoever uses it. */
export interface DatabaseGate {
  readonly connection: Connection;
  /** Cuts every connection, and refuses new ones. */
  shut(): Promise<void>;
  open(): Promise<void>;
  close(): Promise<void>;
}

export async function databaseGate(to: Connection): Promise<DatabaseGate> {
  if (typeof to === 'string') throw new TypeError('the test database is reached by its socket');
  const folder = await mkdtemp(join(tmpdir(), 'telltale-gate-'));
  const name = `.s.PGSQL.${to.port}`;
  const sockets = new Set<Socket>();
  let server: Server | null = null;
  const pipe = (from: Socket, other: Socket): void => {
    sockets.add(from);
    from.on('error', () => {});
    from.once('close', () => {
      sockets.delete(from);
      other.destroy();
    });
    from.pipe(other);
  };
  const gate: DatabaseGate = {
    connection: { ...to, host: folder },
    async shut() {
      const closed = new Promise((resolve) => server?.close(resolve) ?? resolve(null));
      server = null;
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    async open() {
      const opened = createServer((near) => {
        const far = connect(join(to.host, name));
        pipe(near, far);
        pipe(far, near);
      });
      await new Promise<void>((resolve) => opened.listen(join(folder, name), resolve));
      server = opened;
    },
    async close() {
      await gate.shut();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await gate.open();
  return gate;
}
