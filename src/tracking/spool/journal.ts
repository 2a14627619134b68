import { readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeHit, type Hit, recordEnd } from '../hit.ts';
import { type Cursor, readCursor, writeCursor } from './cursor.ts';
import { FrameReader } from './frames.ts';
import { Kept } from './kept.ts';
import { FRAME_HEADER_BYTES, HEADER_BYTES, type Segment, scanSegment, segmentNumber } from './segment.ts';

type At = Omit<Cursor, 'segment'>;

/** A place between two hits. Opaque to everybody but its journal. */
export interface Place extends At {
  readonly journal: Journal;
  readonly epoch: number;
  readonly segment: Segment | null;
}

const START: At = { offset: HEADER_BYTES, skip: 0, seen: 0 };

/** A folder of segments in order, read from a position that only `done` moves. */
export class Journal {
  readonly folder: string;
  /** Bad frames met: torn tails and flipped bits. */
  damaged = 0;
  pendingHits = 0;
  pendingBytes = 0;
  oldestAt: number | null = null;
  readonly kept: Kept;
  readonly #frames = new FrameReader();
  readonly #segments: Segment[] = [];
  #at = START;
  #epoch = 0;
  #saved = START;

  constructor(folder: string) {
    this.folder = folder;
    this.kept = new Kept(folder);
  }

  /** Takes over what a process that is gone left behind: scans every segment and finds the place it had read up to. */
  static async load(folder: string): Promise<Journal> {
    const journal = new Journal(folder);
    for (const file of (await readdir(folder)).sort()) {
      const [, name, keptAt] = /^(\d+)\.(?:seg|(\d+)\.done)$/.exec(file) ?? [];
      if (name === undefined) continue;
      const segment = await journal.#scan(join(folder, file), name);
      if (segment === null) continue;
      if (keptAt !== undefined) journal.kept.found(segment, Number(keptAt));
      else journal.#segments.push(segment);
    }
    await journal.#seek();
    return journal;
  }

  get empty(): boolean {
    return this.#segments.length === 0 && this.kept.empty;
  }

  path(segment: Segment): string {
    return join(this.folder, `${segment.name}.seg`);
  }

  start(segment: Segment): void {
    this.#segments.push(segment);
  }

  committed(segment: Segment, frameBytes: number, hits: number, firstAt: number): void {
    if (segment.firstAt === 0) segment.firstAt = firstAt;
    if (this.pendingHits === 0) this.oldestAt = firstAt;
    this.pendingHits += hits;
    this.pendingBytes += frameBytes;
  }

  /** No more commits; a segment without any is deleted. */
  finish(segment: Segment): void {
    segment.finished = true;
    if (segment.hits > 0) return;
    const index = this.#segments.indexOf(segment);
    if (index >= 0) this.#segments.splice(index, 1);
    unlink(this.path(segment)).catch(() => undefined);
  }

  /** The next hits, from one segment; none when everything durable was read. */
  async read(max: number): Promise<{ hits: Hit[]; upTo: Place }> {
    for (;;) {
      const segment = this.#segments[0];
      if (segment === undefined) return { hits: [], upTo: this.#place(null, START) };
      const end = segment.end;
      if (this.#at.offset >= end) {
        if (!segment.finished) return { hits: [], upTo: this.#place(segment, this.#at) };
        await this.#release(segment);
        continue;
      }
      const hits: Hit[] = [];
      const to = await this.#gather(segment, end, max, hits);
      const [first] = hits;
      if (first !== undefined) {
        this.oldestAt = first.at.getTime();
        return { hits, upTo: this.#place(segment, to) };
      }
      // Only damage, or records of another version, lie here: nobody has to confirm them.
      this.#moveTo(segment, to);
    }
  }

  /** Moves the position; a place from before a replay is ignored. */
  async done(upTo: Place): Promise<void> {
    const { segment } = upTo;
    if (segment === null || upTo.epoch !== this.#epoch || segment !== this.#segments[0]) return;
    if (upTo.seen < this.#at.seen) return;
    this.#moveTo(segment, upTo);
    await this.releaseDrained();
  }

  /** Puts the position before everything still kept. */
  async replay(): Promise<void> {
    this.#epoch++;
    this.#segments.unshift(...(await this.kept.takeBack()));
    this.#at = START;
    this.#recount();
  }

  /** Lets go of finished segments everything of which was done. */
  async releaseDrained(): Promise<void> {
    for (let first = this.#segments[0]; first?.finished && this.#at.offset >= first.end; first = this.#segments[0])
      await this.#release(first);
  }

  /** Writes down the position; losing it only means reading again. */
  async saveCursor(): Promise<void> {
    const segment = this.#segments[0];
    const at = this.#at;
    if (segment === undefined || at === this.#saved) return;
    await writeCursor(this.folder, { segment: segment.name, ...at });
    this.#saved = at;
  }

  async close(): Promise<void> {
    await this.saveCursor().catch(() => undefined);
    await this.#frames.close();
  }

  /** A segment with hits in it, or null; an empty one is deleted, one that is not ours is left for a person to look at. */
  async #scan(path: string, name: string): Promise<Segment | null> {
    const bytes = await readFile(path);
    const number = segmentNumber(bytes);
    if (number === null) {
      if (bytes.subarray(0, HEADER_BYTES).some((byte) => byte !== 0)) this.damaged++;
      else await unlink(path);
      return null;
    }
    const { end, hits, firstAt, torn } = scanSegment(bytes, number);
    if (torn) this.damaged++;
    if (hits > 0) return { name, number, end, hits, finished: true, firstAt: firstAt ?? 0 };
    await unlink(path);
    return null;
  }

  async #seek(): Promise<void> {
    const cursor = await readCursor(this.folder);
    const index = this.#segments.findIndex(({ name }) => name === cursor?.segment);
    const segment = this.#segments[index];
    if (cursor !== null && segment !== undefined && cursor.offset <= segment.end && cursor.seen <= segment.hits) {
      // Those before it were done; the crash came between their last `done` and the new name.
      for (const done of this.#segments.splice(0, index)) await this.kept.keep(done);
      this.#at = { offset: cursor.offset, skip: cursor.skip, seen: cursor.seen };
    }
    this.#recount();
  }

  #recount(): void {
    this.pendingHits = this.#segments.reduce((sum, { hits }) => sum + hits, 0) - this.#at.seen;
    const bytes = this.#segments.reduce((sum, { end }) => sum + end - HEADER_BYTES, 0);
    this.pendingBytes = bytes - (this.#at.offset - HEADER_BYTES);
    const first = this.#segments.find(({ hits }) => hits > 0);
    this.oldestAt = this.pendingHits > 0 ? (first?.firstAt ?? null) : null;
  }

  #place(segment: Segment | null, at: At): Place {
    return { journal: this, epoch: this.#epoch, segment, offset: at.offset, skip: at.skip, seen: at.seen };
  }

  #moveTo(segment: Segment, to: At): void {
    this.pendingHits -= to.seen - this.#at.seen;
    this.pendingBytes -= to.offset - this.#at.offset;
    this.#at = { offset: to.offset, skip: to.skip, seen: to.seen };
    if (to.offset < segment.end) return;
    const next = this.#segments.find((other) => other !== segment && other.hits > 0);
    this.oldestAt = next?.firstAt ?? null;
  }

  async #gather(segment: Segment, end: number, max: number, hits: Hit[]): Promise<At> {
    let { offset, skip, seen } = this.#at;
    while (offset < end && hits.length < max) {
      const frame = await this.#frames.read(this.path(segment), segment.number, offset, end);
      if (frame === null) {
        if (hits.length > 0) break;
        this.damaged++;
        return { offset: end, skip: 0, seen: segment.hits };
      }
      let index = 0;
      let at = frame.from + FRAME_HEADER_BYTES;
      for (; at < frame.to && (index < skip || hits.length < max); index++) {
        const after = recordEnd(frame.bytes, at);
        if (after < 0 || after > frame.to) break;
        if (index >= skip) {
          seen++;
          const hit = decodeHit(frame.bytes, at, after);
          if (hit === null) this.damaged++;
          else hits.push(hit);
        }
        at = after;
      }
      if (at < frame.to && hits.length === max) return { offset, skip: index, seen };
      offset += frame.to - frame.from;
      skip = 0;
    }
    return { offset, skip, seen };
  }

  async #release(segment: Segment): Promise<void> {
    this.#moveTo(segment, { offset: segment.end, skip: 0, seen: segment.hits });
    this.#segments.shift();
    this.#at = START;
    await this.#frames.close();
    await this.kept.keep(segment);
  }
}
