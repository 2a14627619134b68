import { connect, type Socket } from 'node:net';
import type { Reachable } from '../mail-server.ts';
import type { MailServer } from '../provider.ts';

const DIAL_MS = 20_000;
/** Node's quarter of a second gives up on a second address across an ocean. */
const ADDRESS_MS = 1000;

/** A connected socket without listeners. Rejects when it does not come about or `signal` aborts. */
export function dial(server: MailServer, reach: Reachable, signal: AbortSignal): Promise<Socket> {
  const { host, port } = server;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      lookup: reach.lookup,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_MS,
      noDelay: true,
    });
    const settle = (error: unknown): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.removeListener('connect', onConnect).removeListener('error', settle);
      if (error === null) {
        resolve(socket);
      } else {
        socket.on('error', () => {}).destroy();
        reject(error);
      }
    };
    const onConnect = (): void => settle(null);
    const onAbort = (): void => settle(new Error(String(signal.reason)));
    const timer = setTimeout(() => settle(new Error('the connection timed out')), DIAL_MS);
    socket.on('connect', onConnect).on('error', settle);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}
