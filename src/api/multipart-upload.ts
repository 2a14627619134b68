import type { IncomingMessage } from 'node:http';
import { ApiError } from '../errors.ts';

/**
 * The body of a request as it comes; nothing is taken from the socket until the next chunk is asked for. Throws a 400
 * where the caller cuts it off.
 */
export async function* bytesOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  // Not destroyed where reading ends early: the socket still has to carry the answer.
  const chunks: AsyncIterator<Buffer> = request.iterator({ destroyOnReturn: false });
  try {
    for (;;) {
      const next = await nextOf(chunks);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await chunks.return?.();
  }
}

async function nextOf(chunks: AsyncIterator<Buffer>): Promise<IteratorResult<Buffer>> {
  try {
    return await chunks.next();
  } catch {
    throw new ApiError(400, 'api.invalid_request_error', 'The request was cut off.');
  }
}
