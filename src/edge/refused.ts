// What node:http refuses before anybody sees a request, told as the API tells every refusal (contract 7.1): node:http
// itself answers these without a body, on which the SDKs fail.
import { randomUUID } from 'node:crypto';
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Answer } from './answer.ts';

interface Told {
  readonly status: number;
  readonly message: string;
}

/** By the code of node:http's error. */
const TOLD: Readonly<Record<string, Told>> = {
  HPE_HEADER_OVERFLOW: { status: 431, message: 'The path and the headers of the request are too large.' },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { status: 413, message: 'The chunk extensions of the request are too large.' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'The request did not come to its end in time.' },
};
const MALFORMED: Told = { status: 400, message: 'The request is not valid HTTP/1.1.' };
const WITHOUT_HOST: Told = { status: 400, message: 'The request must have a Host header.' };

/** A client that still writes would see a reset, not the answer, if the connection were closed at once. */
const LINGER_MS = 1000;

/**
 * Answers for a connection on which no further request can be read. `underway` is the last response on it, if any: what
 * it has begun to write must not be cut in two.
 */
export function refuseConnection(error: unknown, socket: Socket, underway: ServerResponse | undefined): void {
  const isMidway = underway?.headersSent === true && !underway.writableFinished;
  if (!socket.writable || isMidway) {
    if (!lingering.has(socket)) socket.destroy();
    return;
  }
  lingering.add(socket);
  const { status, headers, body } = refusal(TOLD[codeOf(error)] ?? MALFORMED);
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`];
  for (let at = 0; at + 1 < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`);
  socket.end(`${lines.join('\r\n')}\r\nDate: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n${body}`);
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

/** RFC 9112 section 3.2 */
export function withoutHost(): Answer {
  return refusal(WITHOUT_HOST);
}

/** Each further chunk on them is an error again. */
const lingering = new WeakSet<Socket>();

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function refusal({ status, message }: Told): Answer {
  const id = randomUUID();
  const body = JSON.stringify({ request_id: id, error: { type: 'api.invalid_request_error', message } });
  const headers = ['Content-Type', 'application/json', 'Content-Length', String(body.length), 'x-request-id', id];
  return { status, headers, body, encoding: 'latin1' };
}
