import type { IncomingMessage, ServerResponse } from 'node:http';
import { finished } from 'node:stream';

/** Of a request that is refused; more than one that is just too large has left. */
const MOST = 64 * 1024 * 1024;
/** Who writes nothing for so long waits for the answer. */
const IDLE_MS = 1000;

/**
 * Reads and drops what else comes of a request that is refused, up to 64 MB, since many clients read no answer before
 * they have written all. Resolves when the answer may go: at once, but where the connection is closed behind it (Python's
 * urllib and many proxies ask for that) not while the client writes, which would see a reset in its place.
 */
export function drain(request: IncomingMessage, { shouldKeepAlive }: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    let read = 0;
    const idle = setTimeout(resolve, IDLE_MS).unref();
    finished(request, { writable: false }, () => {
      clearTimeout(idle);
      resolve();
    });
    request.on('error', () => {});
    request.on('data', (chunk: Buffer) => {
      read += chunk.length;
      idle.refresh();
      if (read <= MOST) return;
      resolve();
      if (shouldKeepAlive) request.destroy(); // else the answer ends the connection
    });
    request.resume();
    if (shouldKeepAlive) resolve();
  });
}
