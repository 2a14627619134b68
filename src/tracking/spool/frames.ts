import { type FileHandle, open } from 'node:fs/promises';
import { frameAt } from './segment.ts';

/** A checked frame: its header starts at `from` in `bytes` and its records end at `to`. */
export interface Frame {
  bytes: Buffer;
  from: number;
  to: number;
}

const WINDOW_BYTES = 256 << 10;

/** Reads frames of one file at a time, a window ahead. */
export class FrameReader {
  #path = '';
  #handle: FileHandle | null = null;
  #window: { from: number; bytes: Buffer } | null = null;

  /** The frame at `offset` of the file, whose durable part goes to `end`; null for a bad one. */
  async read(path: string, number: number, offset: number, end: number): Promise<Frame | null> {
    const handle = await this.#open(path);
    for (let want = WINDOW_BYTES; ; ) {
      const window = this.#window;
      if (window !== null && offset >= window.from && offset < window.from + window.bytes.length) {
        const from = offset - window.from;
        const frame = frameAt(window.bytes, from, number);
        if (frame.kind === 'frame') return { bytes: window.bytes, from, to: frame.end };
        if (frame.kind !== 'beyond') return null;
        const wholeTo = window.from + frame.end;
        if (wholeTo > end) return null;
        want = Math.max(want, wholeTo - offset);
      }
      const bytes = Buffer.allocUnsafe(Math.min(want, end - offset));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, offset);
      if (bytesRead < bytes.length) return null;
      this.#window = { from: offset, bytes };
    }
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    this.#window = null;
    this.#path = '';
    await handle?.close();
  }

  async #open(path: string): Promise<FileHandle> {
    if (this.#handle !== null && this.#path === path) return this.#handle;
    await this.close();
    const handle = await open(path, 'r');
    this.#handle = handle;
    this.#path = path;
    return handle;
  }
}
