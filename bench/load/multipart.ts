// A mail with files as an application posts it, multipart and chunked: in the ways of two SDKs that differ the most.
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface PostedFile {
  readonly filename: string;
  readonly bytes: Buffer;
  /** SHA-256, hex. */
  readonly hash: string;
}

/** `node`: the JSON first, without a file name. `ruby`: last, each part with its length. */
export type Manner = 'node' | 'ruby';

export interface Posted {
  readonly status: number;
  readonly text: string;
  readonly ms: number;
}

const PIECE = 64 * 1024; // as files are read

/** Bytes that nothing can make smaller. */
export function randomFile(filename: string, size: number): PostedFile {
  const bytes = randomBytes(size);
  return { filename, bytes, hash: createHash('sha256').update(bytes).digest('hex') };
}

export async function postMail(
  url: string,
  key: string,
  manner: Manner,
  message: object,
  files: readonly PostedFile[],
): Promise<Posted> {
  const boundary = `----bench${randomBytes(12).toString('hex')}`;
  const headers = { authorization: `Bearer ${key}`, 'content-type': `multipart/form-data; boundary=${boundary}` };
  const began = performance.now();
  const outgoing = request(url, { method: 'POST', headers, agent: false });
  const answered = new Promise<Posted>((resolve, reject) => {
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text, ms: performance.now() - began }));
    });
  });
  const written = pipeline(Readable.from(partsOf(manner, boundary, message, files), { objectMode: false }), outgoing);
  // A refusal may come before all is written, and close what is written to.
  written.catch(() => {});
  return await answered;
}

function* partsOf(
  manner: Manner,
  boundary: string,
  message: object,
  files: readonly PostedFile[],
): Generator<Buffer, void> {
  const json = JSON.stringify(message);
  const ruby = manner === 'ruby';
  const lengthLine = (length: number): string => (ruby ? `Content-Length: ${length}\r\n` : '');
  const messagePart = Buffer.from(
    `--${boundary}\r\nContent-Disposition: form-data; name="message"\r\n${lengthLine(Buffer.byteLength(json))}\r\n${json}\r\n`,
  );
  if (!ruby) yield messagePart;
  for (const [index, { filename, bytes }] of files.entries()) {
    yield Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="file${index}"; filename="${filename}"\r\n` +
        `Content-Type: application/octet-stream\r\n${lengthLine(bytes.length)}` +
        `${ruby ? 'Content-Transfer-Encoding: binary\r\n' : ''}\r\n`,
    );
    for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
    yield Buffer.from('\r\n');
  }
  if (ruby) yield messagePart;
  yield Buffer.from(`--${boundary}--\r\n`);
}
