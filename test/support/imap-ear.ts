// A way to an IMAP server without TLS, on which is heard what is asked, and which can be long, or lead nowhere any more.
import { connect, createServer, type Socket } from 'node:net';

export interface ImapEar {
  /** On 127.0.0.1. */
  readonly port: number;
  /** The commands so far in upper case, `UID FETCH` with its UID. */
  readonly commands: readonly string[];
  /** Whole lines of what was asked. */
  readonly lines: readonly string[];
  forget(): void;
  /** From now on nothing is passed on any more, and no connection ends. */
  deafen(): void;
  cut(): void;
  close(): Promise<void>;
}

export interface ImapEarOptions {
  /** Added to each way. */
  readonly delayMs?: number;
  /** A capability that the server is not to be known for. */
  readonly without?: string;
}

/** STARTTLS is hidden, so that what is asked can be heard. */
export async function startImapEar(target: number, { delayMs = 0, without }: ImapEarOptions = {}): Promise<ImapEar> {
  const sockets = new Set<Socket>();
  const lines: string[] = [];
  const hidden = ['STARTTLS', ...(without === undefined ? [] : [without])];
  let isDeaf = false;
  const passOn = (from: Socket, to: Socket, see: (chunk: Buffer) => Buffer): void => {
    from.on('data', (chunk: Buffer) => {
      const seen = see(chunk);
      const act = (): void => void (isDeaf || to.destroyed || to.write(seen));
      if (delayMs === 0) act();
      else setTimeout(act, delayMs);
    });
    from.once('close', () => isDeaf || to.destroySoon());
  };
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    }
    let rest = '';
    passOn(near, far, (chunk) => {
      const all = (rest + chunk.toString('latin1')).split('\r\n');
      rest = all.pop() ?? '';
      lines.push(...all);
      return chunk;
    });
    passOn(far, near, (chunk) => {
      const text = chunk.toString('latin1');
      if (!text.includes('CAPABILITY')) return chunk;
      return Buffer.from(
        hidden.reduce((shown, name) => shown.replaceAll(` ${name}`, ` ${'X'.repeat(name.length)}`), text),
        'latin1',
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get commands() {
      return lines.map((line) => (/^\w+ ((?:uid )?\w+)/i.exec(line)?.[1] ?? line).toUpperCase());
    },
    lines,
    forget: () => void lines.splice(0),
    deafen() {
      isDeaf = true;
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
