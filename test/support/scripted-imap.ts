// An IMAP server that answers as a test says, and otherwise as one with an empty mailbox would.
import { createServer, type Socket } from 'node:net';

export interface ScriptedImap {
  readonly port: number;
  /** Every line that was said to it. */
  readonly heard: readonly string[];
  close(): Promise<void>;
}

export interface Said {
  readonly tag: string;
  /** The line without its tag. */
  readonly line: string;
  readonly socket: Socket;
}

/**
 * `answer` says what comes before `OK`, or the whole rest of the tagged line after `!`, or null for the usual answer;
 * an empty text is an `OK` alone. `capabilities` come besides IMAP4rev1.
 */
export async function startScriptedImap(
  answer: (said: Said) => string | null,
  capabilities = 'NAMESPACE SPECIAL-USE',
): Promise<ScriptedImap> {
  const sockets = new Set<Socket>();
  const heard: string[] = [];
  const server = createServer((socket) => {
    sockets.add(socket.setNoDelay(true));
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    socket.write(`* OK [CAPABILITY IMAP4rev1 ${capabilities}] ready\r\n`);
    let rest = '';
    socket.on('data', (chunk) => {
      const lines = (rest + chunk.toString('latin1')).split('\r\n');
      rest = lines.pop() ?? '';
      for (const whole of lines) {
        heard.push(whole);
        const [tag = '', ...words] = whole.split(' ');
        const line = words.join(' ');
        const own = answer({ tag, line, socket });
        if (socket.destroyed || own === SILENCE) continue;
        const said = own ?? usual(line, capabilities);
        socket.write(said.startsWith('!') ? `${tag} ${said.slice(1)}\r\n` : `${said}${tag} OK done\r\n`);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    heard,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Nothing is answered. */
export const SILENCE = '!!';

function usual(line: string, capabilities: string): string {
  const [command = '', about = ''] = line.split(' ');
  switch (command.toUpperCase()) {
    case 'CAPABILITY':
      return `* CAPABILITY IMAP4rev1 ${capabilities}\r\n`;
    case 'NAMESPACE':
      return '* NAMESPACE (("" "/")) NIL NIL\r\n';
    case 'LIST':
      return '* LIST () "/" "INBOX"\r\n';
    case 'STATUS':
      return `* STATUS ${about} (UIDNEXT 1 UIDVALIDITY 1)\r\n`;
    case 'EXAMINE':
      return '* 0 EXISTS\r\n* OK [UIDVALIDITY 1] valid\r\n* OK [UIDNEXT 1] next\r\n';
    default:
      return '';
  }
}
