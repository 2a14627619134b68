// A mail whose large attachments are read from the store while it is handed over: all else is composed before, with a
// placeholder where each of them belongs.
import { createHash } from 'node:crypto';
import type { Blob } from '../db/blobs.ts';
import type { StreamedMail } from '../providers/mail-bytes.ts';

/** The chunks of a blob in their order; throws where it has gone. */
export type ReadBlob = (blob: Blob) => AsyncIterable<Buffer>;

/** One line of base64 (RFC 2045 section 6.8). */
const LINE_BYTES = 57;
const LINE_CHARACTERS = 76;

/** 48 bytes, which base64 writes without padding on a line of their own. */
export function placeholderOf(messageId: string, at: number): Buffer {
  return createHash('sha384').update(`${messageId} ${at}`).digest();
}

/** `skeleton` holds each of the placeholders once, in base64. */
export function streamed(skeleton: Buffer, blobs: ReadonlyMap<Buffer, Blob>, read: ReadBlob): StreamedMail {
  const pieces = piecesOf(skeleton, blobs);
  const size = pieces.reduce((sum, piece) => sum + (Buffer.isBuffer(piece) ? piece.length : sizeIn(piece.size)), 0);
  return {
    size,
    head: skeleton,
    async *read() {
      for (const piece of pieces) {
        if (Buffer.isBuffer(piece)) yield piece;
        else yield* encoded(read(piece));
      }
    },
  };
}

function piecesOf(skeleton: Buffer, blobs: ReadonlyMap<Buffer, Blob>): (Buffer | Blob)[] {
  const places = [...blobs].map(([placeholder, blob]) => {
    const text = placeholder.toString('base64');
    const at = skeleton.indexOf(text, 0, 'latin1');
    if (at < 0 || skeleton.indexOf(text, at + 1, 'latin1') >= 0)
      throw new Error('an attachment has no place of its own');
    return { at, end: at + text.length, blob };
  });
  places.sort((a, b) => a.at - b.at);
  const pieces: (Buffer | Blob)[] = [];
  let from = 0;
  for (const { at, end, blob } of places) {
    pieces.push(skeleton.subarray(from, at), blob);
    from = end;
  }
  return [...pieces, skeleton.subarray(from)];
}

/** In base64, with CRLF between the lines. */
function sizeIn(bytes: number): number {
  const characters = Math.ceil(bytes / 3) * 4;
  return characters + 2 * Math.max(0, Math.ceil(characters / LINE_CHARACTERS) - 1);
}

async function* encoded(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  let first = true;
  const lines = (bytes: Buffer): Buffer => {
    const text = bytes.toString('base64').replace(/.{76}(?=.)/g, '$&\r\n');
    const joined = first ? text : `\r\n${text}`;
    first = false;
    return Buffer.from(joined, 'latin1');
  };
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % LINE_BYTES);
    rest = bytes.subarray(whole);
    if (whole > 0) yield lines(bytes.subarray(0, whole));
  }
  if (rest.length > 0) yield lines(rest);
}
