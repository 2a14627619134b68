// A receiver below HTTP: it reads a whole request and then does to the connection what its script says.
import { createServer, type Socket } from 'node:net';

/** `turn` counts the requests of all connections, from 1. */
export type Script = (socket: Socket, turn: number) => void;

export interface RawReceiver {
  /** `http://127.0.0.1:<port>/hook`. */
  readonly url: string;
  readonly port: number;
  /** Whole requests so far. */
  requests(): number;
  /** Connections accepted so far. */
  connections(): number;
  close(): Promise<void>;
}

export interface RawReceiverOptions {
  /** Said to every connection at once. */
  readonly greeting?: string;
}

export async function startRawReceiver(
  script: Script,
  { greeting = '' }: RawReceiverOptions = {},
): Promise<RawReceiver> {
  const sockets = new Set<Socket>();
  let requests = 0;
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.write(greeting);
    let unread = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      unread += text;
      for (let end = endOfRequest(unread); end !== null; end = endOfRequest(unread)) {
        unread = unread.slice(end);
        script(socket, ++requests);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    port,
    requests: () => requests,
    connections: () => connections,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Where the first request in the text ends, null where it is not whole. */
function endOfRequest(text: string): number | null {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return null;
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text.slice(0, head))?.[1] ?? 0);
  const end = head + 4 + length;
  return text.length < end ? null : end;
}

/** Says this and keeps the connection. */
export function say(text: string): Script {
  return (socket) => void socket.write(text);
}

/** Says this and hangs up. */
export function sayAndEnd(text: string): Script {
  return (socket) => void socket.end(text);
}

/** Says this and, when it has been read, resets the connection. */
export function sayAndReset(text: string): Script {
  return (socket) => void socket.write(text, () => setTimeout(() => socket.resetAndDestroy(), 20));
}

/** Says this a byte at a time and begins anew at its end. */
export function trickle(text: string, everyMs: number): Script {
  return (socket) => {
    let at = 0;
    const timer = setInterval(() => socket.write(text[at++ % text.length] ?? ''), everyMs);
    socket.on('close', () => clearInterval(timer));
  };
}
