import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { hitTime, recordEnd } from '../hit.ts';

// A segment is a 32-byte header and then frames, one per commit, in a file made long beforehand and filled with zeros:
//   header  'TTSP', u32 version, u32 segment number (random), u32 crc32 of those 12 bytes, zeros
//   frame   u32 length of the records, u32 crc32 of the records that starts at the segment number, records
// All little-endian. A length of zero, or anything that does not check, ends the segment.

export const HEADER_BYTES = 32;
export const FRAME_HEADER_BYTES = 8;
/** Records of one commit; also the size of the buffers they are gathered in. */
export const FRAME_BYTES = 1 << 20;
export const SEGMENT_BYTES = 8 << 20;

const MAGIC = 0x50535454;
const VERSION = 1;

/** A segment file as its writer and its reader know it. */
export interface Segment {
  /** File name without its ending; names sort in the order of writing. */
  readonly name: string;
  readonly number: number;
  /** Offset of the durable end. */
  end: number;
  hits: number;
  /** Nothing is appended any more. */
  finished: boolean;
  /** Unix milliseconds of the first hit; 0 before there is one. */
  firstAt: number;
}

export function segmentHeader(): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(VERSION, 4);
  randomBytes(4).copy(header, 8);
  header.writeUInt32LE(crc32(header.subarray(0, 12)), 12);
  return header;
}

/** The number mixed into every checksum of the segment, or null for a file that is no segment of this version. */
export function segmentNumber(header: Buffer): number | null {
  if (header.length < HEADER_BYTES || header.readUInt32LE(0) !== MAGIC || header.readUInt32LE(4) !== VERSION)
    return null;
  return header.readUInt32LE(12) === crc32(header.subarray(0, 12)) ? header.readUInt32LE(8) : null;
}

/** Completes the frame in `bytes[0, length)`, whose records start after the frame header. */
export function sealFrame(bytes: Buffer, length: number, number: number): void {
  bytes.writeUInt32LE(length - FRAME_HEADER_BYTES, 0);
  bytes.writeUInt32LE(crc32(bytes.subarray(FRAME_HEADER_BYTES, length), number), 4);
}

/** What lies at an offset: a whole frame, nothing more, a frame that goes beyond `bytes`, or damage. */
export type FrameAt =
  | { kind: 'frame'; end: number }
  | { kind: 'end' }
  | { kind: 'beyond'; end: number }
  | { kind: 'bad' };

const END: FrameAt = { kind: 'end' };
const BAD: FrameAt = { kind: 'bad' };

/** Looks at the frame at `at`, checksum included. */
export function frameAt(bytes: Buffer, at: number, number: number): FrameAt {
  if (at + FRAME_HEADER_BYTES > bytes.length) return { kind: 'beyond', end: at + FRAME_HEADER_BYTES };
  const length = bytes.readUInt32LE(at);
  if (length === 0) return END;
  if (length > FRAME_BYTES) return BAD;
  const end = at + FRAME_HEADER_BYTES + length;
  if (end > bytes.length) return { kind: 'beyond', end };
  const sound = crc32(bytes.subarray(at + FRAME_HEADER_BYTES, end), number) === bytes.readUInt32LE(at + 4);
  return sound ? { kind: 'frame', end } : BAD;
}

export interface Scan {
  /** Offset after the last sound frame. */
  end: number;
  hits: number;
  /** Unix milliseconds of the first hit, null when there is none. */
  firstAt: number | null;
  /** True when something other than zeros or the end of the file follows the last sound frame. */
  torn: boolean;
}

/** Reads a whole segment file up to its first bad frame. */
export function scanSegment(bytes: Buffer, number: number): Scan {
  const scan: Scan = { end: HEADER_BYTES, hits: 0, firstAt: null, torn: false };
  for (;;) {
    const frame = frameAt(bytes, scan.end, number);
    if (frame.kind !== 'frame') {
      scan.torn = frame.kind === 'bad' || (frame.kind === 'beyond' && scan.end < bytes.length);
      return scan;
    }
    let at = scan.end + FRAME_HEADER_BYTES;
    if (scan.firstAt === null && recordEnd(bytes, at) > 0) scan.firstAt = hitTime(bytes, at);
    while (at < frame.end) {
      const end = recordEnd(bytes.subarray(0, frame.end), at);
      if (end < 0) break;
      scan.hits++;
      at = end;
    }
    scan.end = frame.end;
  }
}
