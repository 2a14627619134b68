import { encodeHit, LONGEST_RECORD, type NewHit } from '../hit.ts';
import { FRAME_BYTES, FRAME_HEADER_BYTES, HEADER_BYTES } from './segment.ts';

/** Why a hit was answered without being on the disk. Of these only 'shed' and 'overrun' are certainly lost. */
export type Unrecorded = 'stalled' | 'disk_full' | 'disk_error' | 'shed' | 'overrun';
export type Outcome = 'durable' | Unrecorded;
export type Settle = (outcome: Outcome) => void;

/** The hits of one commit and who waits for it. Buffers are used again; see {@link BatchPool}. */
export class Batch {
  readonly bytes: Buffer;
  length = FRAME_HEADER_BYTES;
  hits = 0;
  /** Monotonic and wall-clock milliseconds of the first hit. */
  since = 0;
  firstAt = 0;
  /** Hits whose reader has already been answered. */
  answered = 0;
  waiting: Settle[] = [];

  constructor(bytes: number) {
    this.bytes = Buffer.alloc(bytes);
  }

  get full(): boolean {
    return this.length + LONGEST_RECORD > this.bytes.length;
  }

  add(hit: NewHit): void {
    const now = Date.now();
    if (this.hits === 0) {
      this.since = performance.now();
      this.firstAt = now;
    }
    this.length = encodeHit(this.bytes, this.length, hit, now);
    this.hits++;
  }

  /** Answers everybody still waiting. */
  settle(outcome: Outcome): void {
    const waiting = this.waiting;
    if (waiting.length === 0) return;
    this.waiting = [];
    this.answered += waiting.length;
    for (const settle of waiting) settle(outcome);
  }
}

/** At most `most` batches at a time: what memory holds while the disk does not take it. */
export class BatchPool {
  readonly #most: number;
  readonly #bytes: number;
  readonly #spare: Batch[] = [];
  #out = 0;

  /** Batches fit whole into a segment of `segmentBytes`. */
  constructor(most: number, segmentBytes: number) {
    this.#most = most;
    this.#bytes = Math.min(FRAME_HEADER_BYTES + FRAME_BYTES, segmentBytes - HEADER_BYTES);
  }

  take(): Batch | null {
    if (this.#out === this.#most) return null;
    this.#out++;
    return this.#spare.pop() ?? new Batch(this.#bytes);
  }

  give(batch: Batch): void {
    this.#out--;
    batch.length = FRAME_HEADER_BYTES;
    batch.hits = 0;
    batch.answered = 0;
    if (this.#spare.length < 2) this.#spare.push(batch);
  }
}
