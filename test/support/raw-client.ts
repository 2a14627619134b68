import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  status: number;
  /** Names in lower case. */
  headers: Map<string, string>;
  /** One character per byte. */
  body: string;
  raw: string;
}

/** An HTTP client that sends what it is told, however wrong, and reads answers one by one. */
export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<unknown>;
  #received = '';
  #ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    this.closed = once(socket, 'close').catch(() => undefined);
    socket.setEncoding('latin1');
    socket.on('data', (text) => {
      this.#received += text;
      socket.emit('progress');
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#ended = true;
      socket.emit('progress');
    });
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** The next answer; `head` when it comes without its body. Throws when the connection ends before it is whole. */
  async answer(options: { head?: boolean } = {}): Promise<RawAnswer> {
    for (;;) {
      const end = this.#received.indexOf('\r\n\r\n');
      if (end >= 0) {
        const lines = this.#received.slice(0, end).split('\r\n');
        const headers = new Map(
          lines.slice(1).map((line) => {
            const colon = line.indexOf(':');
            return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
          }),
        );
        const length = options.head ? 0 : Number(headers.get('content-length') ?? 0);
        const total = end + 4 + length;
        if (this.#received.length >= total) {
          const raw = this.#received.slice(0, total);
          this.#received = this.#received.slice(total);
          return { status: Number(lines[0]?.split(' ')[1]), headers, body: raw.slice(end + 4), raw };
        }
      }
      if (this.#ended) throw new Error(`the connection ended after ${JSON.stringify(this.#received)}`);
      await once(this.socket, 'progress');
    }
  }

  /** What was received and not yet taken as an answer. */
  get left(): string {
    return this.#received;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Sends one request on a connection of its own. */
export async function exchange(port: number, request: string, options: { head?: boolean } = {}): Promise<RawAnswer> {
  const client = await RawClient.open(port);
  try {
    client.send(request);
    return await client.answer(options);
  } finally {
    client.destroy();
  }
}
