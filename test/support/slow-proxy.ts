// A way to an IMAP server without TLS that is as long as one across a continent, and on which is heard what was asked.
import { connect, createServer, type Socket } from 'node:net';

export interface SlowProxy {
  /** On 127.0.0.1. */
  readonly port: number;
  /** Every command since the last `forget`, in the order of its coming, over all connections. */
  readonly commands: readonly ImapCommand[];
  forget(): void;
  close(): Promise<void>;
}

export interface ImapCommand {
  /** In upper case, with UID before it where it was said: `UID FETCH`. */
  readonly name: string;
  /** What follows it on its line, at most 300 characters; a LOGIN's is left out. */
  readonly about: string;
  /** Unix milliseconds of its arrival here, before the delay. */
  readonly at: number;
}

const COMMAND = /^[a-z0-9]+ ((?:uid )?[a-z]+)(?: (.*))?$/i;
const LONGEST_LINE = 65_536;

/** `delayMs` is added to each way, so a round trip takes twice as much longer; how much is said at once changes nothing. */
export async function startSlowProxy(target: number, { delayMs }: { readonly delayMs: number }): Promise<SlowProxy> {
  const sockets = new Set<Socket>();
  const commands: ImapCommand[] = [];
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    }
    passOn(near, far, delayMs);
    passOn(far, near, delayMs);
    near.on(
      'data',
      byLine((line) => {
        const [, name, about = ''] = COMMAND.exec(line) ?? [];
        if (name === undefined) return;
        const said = name.toUpperCase();
        const shown = said === 'LOGIN' || said === 'AUTHENTICATE' ? '' : about.slice(0, 300);
        commands.push({ name: said, about: shown, at: Date.now() });
      }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    commands,
    forget: () => void commands.splice(0),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Timers of one length end in the order in which they began. */
function passOn(from: Socket, to: Socket, delayMs: number): void {
  const later = (act: () => void): void => void (delayMs === 0 ? act() : setTimeout(act, delayMs));
  from.on('data', (chunk: Buffer) =>
    later(() => {
      if (to.destroyed) return;
      if (!to.write(chunk)) from.pause();
    }),
  );
  to.on('drain', () => from.resume());
  from.once('close', () => later(() => to.destroySoon()));
}

function byLine(hear: (line: string) => void): (chunk: Buffer) => void {
  let rest = '';
  return (chunk) => {
    const lines = (rest + chunk.toString('latin1')).split('\r\n');
    rest = (lines.pop() ?? '').slice(0, LONGEST_LINE);
    for (const line of lines) hear(line);
  };
}
