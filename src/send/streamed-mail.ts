// A mail whose large attachments are read from the store while it is handed over: all else is composed before, with a
// placeholder where each of them belongs.
import { createHash } from 'node:crypto';
import { type Blob, readBlob, readBlobInBase64 } from '../db/blobs.ts';
import type { Query } from '../db/pool.ts';
import type { StreamedMail } from '../providers/mail-bytes.ts';

export interface BlobReader {
  /** In their order; throws where the blob has gone. */
  bytes(blob: Blob): AsyncIterable<Buffer>;
  /** As lines of base64 with CRLF between them. */
  lines(blob: Blob): AsyncIterable<Buffer>;
}

export interface ComposedMail extends StreamedMail {
  /** What it is put together of. */
  readonly pieces: readonly (Buffer | Blob)[];
}

const LINE_CHARACTERS = 76;

export function blobReader(sql: Query, app: number): BlobReader {
  return { bytes: (blob) => readBlob(sql, app, blob), lines: (blob) => readBlobInBase64(sql, app, blob) };
}

/** 48 bytes, which base64 writes without padding on a line of their own. */
export function placeholderOf(messageId: string, at: number): Buffer {
  return createHash('sha384').update(`${messageId} ${at}`).digest();
}

/** `skeleton` holds each of the placeholders once, in base64. */
export function streamed(skeleton: Buffer, blobs: ReadonlyMap<Buffer, Blob>, reader: BlobReader): ComposedMail {
  return mailOf(piecesOf(skeleton, blobs), reader);
}

/** The first piece has the whole header block. */
export function mailOf(pieces: readonly (Buffer | Blob)[], reader: Pick<BlobReader, 'lines'>): ComposedMail {
  const [head] = pieces;
  if (!Buffer.isBuffer(head)) throw new Error('a mail begins with its header');
  return {
    size: pieces.reduce((sum, piece) => sum + (Buffer.isBuffer(piece) ? piece.length : sizeIn(piece.size)), 0),
    head,
    pieces,
    async *read() {
      for (const piece of pieces) {
        if (Buffer.isBuffer(piece)) yield piece;
        else yield* reader.lines(piece);
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
