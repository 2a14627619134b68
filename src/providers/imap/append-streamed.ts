// APPEND of a mail that is read while it is sent. imapflow's own wants it whole, copies it once more, and gives all of it to
// TLS at a time: 100 MB of memory for a mail of 25 MB.
import type { Writable } from 'node:stream';
import type { ImapFlow } from 'imapflow';
import { encodePath, formatDateTime } from 'imapflow/lib/tools.js';
import { readBytes, type StreamedMail } from '../mail-bytes.ts';
import { atom, exec } from './wire.ts';

export interface StreamedAppend {
  readonly path: string;
  readonly flags: readonly string[];
  readonly date: Date | undefined;
  readonly mail: StreamedMail;
}

/** A server that takes nothing of it for so long is not waited for. */
const SILENCE_MS = 60_000;

/** Throws as imapflow's own does, or why the mail could not be read: the connection is closed then, and the server has nothing. */
export async function appendStreamed(client: ImapFlow, { path, flags, date, mail }: StreamedAppend): Promise<void> {
  const limit: unknown = client.capabilities.get('APPENDLIMIT'); // RFC 7889
  if (typeof limit === 'number' && limit < mail.size) {
    throw Object.assign(new Error(`the mail is larger than ${limit} bytes`), { serverResponseCode: 'APPENDLIMIT' });
  }
  let unread: unknown = null;
  try {
    const answer = await exec(
      client,
      'APPEND',
      [
        atom(encodePath(client, path)),
        flags.map(atom),
        ...(date === undefined ? [] : [{ type: 'STRING' as const, value: formatDateTime(date) }]),
        { type: 'TEXT', value: `{${mail.size}}` }, // RFC 9051 section 4.3: the server asks for what follows
      ],
      {
        async onPlusTag() {
          try {
            const socket = socketOf(client);
            for await (const piece of readBytes(mail)) await give(socket, piece);
            await give(socket, Buffer.from('\r\n'));
          } catch (error) {
            unread = error;
            client.close();
          }
        },
      },
    );
    answer.next();
  } catch (error) {
    throw unread ?? error;
  }
}

/** Resolves once the server has taken enough for the next piece. */
function give(socket: Writable, piece: Buffer): Promise<void> {
  if (socket.destroyed) return Promise.reject(new Error('the connection was closed'));
  if (socket.write(piece)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null): void => {
      clearTimeout(timer);
      socket.off('drain', drained).off('close', closed);
      if (error === null) resolve();
      else reject(error);
    };
    const drained = (): void => settle(null);
    const closed = (): void => settle(new Error('the connection was closed'));
    const timer = setTimeout(() => settle(new Error('the server takes no more of the mail')), SILENCE_MS);
    socket.on('drain', drained).on('close', closed);
  });
}

function socketOf(client: ImapFlow): Writable {
  const socket: unknown = Reflect.get(client, 'writeSocket');
  if (typeof socket !== 'object' || socket === null || !('write' in socket) || !('destroyed' in socket)) {
    throw new Error('the connection was closed');
  }
  return socket as Writable;
}
