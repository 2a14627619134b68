import * as fs from 'node:fs';
import type { NewHit } from '../hit.ts';
import { type Batch, BatchPool, type Settle, type Unrecorded } from './batch.ts';
import type { Disk } from './disk.ts';
import { type Segment, sealFrame } from './segment.ts';

/** A segment made ready for commits. */
export interface OpenSegment {
  fd: number;
  bytes: number;
  segment: Segment;
}

export interface WriterDeps {
  disk: Disk;
  /** Makes and opens the next segment. */
  prepare(): Promise<OpenSegment>;
  /** The segment now takes commits. */
  onStart(segment: Segment): void;
  /** `hits` more hits are on the disk and `segment.end` says up to where. */
  onCommit(segment: Segment, frameBytes: number, hits: number, firstAt: number): void;
  onFinish(segment: Segment): void;
  onDegraded(reason: Unrecorded, error: unknown): void;
  onRecovered(): void;
  answerWithinMs: number;
  /** No segment is smaller. */
  segmentBytes: number;
}

const MOST_BATCHES = 8;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

/** Group commit into one segment after another: one write in flight, hits that come meanwhile share the next one. */
export class Writer {
  readonly #deps: WriterDeps;
  readonly #pool: BatchPool;
  readonly #queue: Batch[] = [];
  #inFlight: Batch | null = null;
  #sentAt = 0;
  #current: OpenSegment | null = null;
  #prepared: OpenSegment | null = null;
  #preparing = false;
  /** Set while the disk refuses: every hit is answered at once and kept in memory as long as there is room. */
  #refused: Unrecorded | null = null;
  /** The last commit is overdue: hits are answered at once until it ends. */
  #stalled = false;
  #armed = false;
  #watching = false;
  #retryMs = FIRST_RETRY_MS;
  #backingOff = false;
  #closed: (() => void) | null = null;
  #closing = false;
  #settled: (() => void) | null = null;
  /** Hits answered as unrecorded that reached the disk after all. */
  landedLate = 0;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
    this.#pool = new BatchPool(MOST_BATCHES, deps.segmentBytes);
  }

  /** Why hits are answered before they are on the disk, null while they are not. */
  get trouble(): Unrecorded | null {
    return this.#refused ?? (this.#stalled ? 'stalled' : null);
  }

  /** For how long the disk has owed an answer (ms); 0 when it owes none. */
  behind(): number {
    if (this.#refused !== null) return Number.POSITIVE_INFINITY;
    return this.#inFlight === null ? 0 : performance.now() - this.#sentAt;
  }

  /** Opens the first segment; resolves as well when that fails and the writer starts in the degraded state. */
  start(): Promise<void> {
    return new Promise((resolve) => {
      this.#settled = resolve;
      this.#makeReady();
    });
  }

  append(hit: NewHit, settle: Settle): void {
    const batch = this.#openBatch();
    if (batch === null) {
      settle(this.#refused ?? 'overrun');
      return;
    }
    batch.add(hit);
    if (this.#refused !== null || this.#stalled) {
      batch.answered++;
      settle(this.#refused ?? 'stalled');
    } else {
      batch.waiting.push(settle);
      if (!this.#watching) this.#watch(this.#deps.answerWithinMs);
    }
    if (this.#armed || this.#inFlight !== null) return;
    this.#armed = true;
    // Two turns: the requests read in the same poll, and those they wake, share a commit (lower CPU per hit, measured).
    setImmediate(this.#secondTurn);
  }

  /** Commits what is there and closes the files; waits `withinMs` at most for a disk that does not answer. */
  async close(withinMs: number): Promise<void> {
    this.#closing = true;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.#closed = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#flush();
    });
    if (this.#inFlight !== null) return;
    const current = this.#current;
    this.#current = null;
    if (current !== null) {
      await new Promise((resolve) => fs.ftruncate(current.fd, current.segment.end, resolve));
      this.#finish(current);
    }
    this.#dropPrepared();
  }

  readonly #secondTurn = (): void => {
    setImmediate(this.#flushTurn);
  };

  readonly #flushTurn = (): void => {
    this.#armed = false;
    this.#flush();
  };

  #openBatch(): Batch | null {
    const last = this.#queue.at(-1);
    if (last !== undefined && !last.full) return last;
    const fresh = this.#pool.take();
    if (fresh !== null) this.#queue.push(fresh);
    return fresh;
  }

  #flush(): void {
    if (this.#inFlight !== null) return;
    const batch = this.#queue[0];
    const current = this.#current;
    if (batch === undefined || current === null) {
      if (batch === undefined || this.#refused !== null) this.#closed?.();
      return;
    }
    if (current.segment.end + batch.length > current.bytes) {
      this.#current = null;
      this.#finish(current);
      this.#makeReady();
      return;
    }
    this.#queue.shift();
    this.#inFlight = batch;
    this.#sentAt = performance.now();
    sealFrame(batch.bytes, batch.length, current.segment.number);
    this.#deps.disk.write(current.fd, batch.bytes, batch.length, current.segment.end, (error) => {
      this.#inFlight = null;
      if (error === null) this.#committed(current, batch);
      else this.#refuse(current, batch, error);
    });
  }

  #committed(current: OpenSegment, batch: Batch): void {
    if (this.#stalled) this.#deps.onRecovered();
    this.#stalled = false;
    this.#retryMs = FIRST_RETRY_MS;
    current.segment.end += batch.length;
    current.segment.hits += batch.hits;
    this.landedLate += batch.answered;
    this.#deps.onCommit(current.segment, batch.length, batch.hits, batch.firstAt);
    this.#flush(); // the next commit is on its way before the answers
    batch.settle('durable');
    this.#pool.give(batch);
  }

  /** After an error the file is not touched again; the batch goes into the next segment (hit ids make repeats harmless). */
  #refuse(current: OpenSegment, batch: Batch, error: Error): void {
    this.#queue.unshift(batch);
    this.#current = null;
    this.#finish(current);
    this.#degrade(error);
  }

  #degrade(error: unknown): void {
    const reason = reasonOf(error);
    this.#refused = reason;
    this.#deps.onDegraded(reason, error);
    for (const batch of this.#queue) batch.settle(reason);
    this.#settled?.();
    if (this.#closing) {
      this.#closed?.();
      return;
    }
    this.#backingOff = true;
    setTimeout(() => {
      this.#backingOff = false;
      this.#makeReady();
    }, this.#retryMs).unref();
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  /** Puts the prepared segment into use, or waits for it. */
  #makeReady(): void {
    const prepared = this.#prepared;
    if (prepared === null) {
      this.#prepareNext();
      return;
    }
    this.#prepared = null;
    this.#current = prepared;
    this.#deps.onStart(prepared.segment);
    if (this.#refused !== null) this.#deps.onRecovered();
    this.#refused = null;
    this.#settled?.();
    this.#prepareNext();
    this.#flush();
  }

  #prepareNext(): void {
    if (this.#preparing || (this.#closing && this.#current !== null)) return;
    this.#preparing = true;
    this.#deps.prepare().then(
      (prepared) => {
        this.#preparing = false;
        this.#prepared = prepared;
        if (this.#closing && this.#queue.length === 0) this.#dropPrepared();
        else if (this.#current === null && !this.#backingOff) this.#makeReady();
      },
      (error) => {
        this.#preparing = false;
        // With a segment in use there is nothing to say yet: it is tried again when that one is full.
        if (this.#current === null && !this.#backingOff) this.#degrade(error);
      },
    );
  }

  #dropPrepared(): void {
    if (this.#prepared !== null) this.#finish(this.#prepared);
    this.#prepared = null;
  }

  #finish(open: OpenSegment): void {
    fs.close(open.fd, ignore);
    this.#deps.onFinish(open.segment);
  }

  #watch(ms: number): void {
    this.#watching = true;
    // The immediate lets a commit that ended during a blocked turn be seen before it is called overdue.
    setTimeout(() => setImmediate(this.#lookAtClock), ms);
  }

  readonly #lookAtClock = (): void => {
    this.#watching = false;
    const oldest = this.#inFlight ?? this.#queue[0];
    if (oldest === undefined) return;
    const left = oldest.since + this.#deps.answerWithinMs - performance.now();
    if (left > 1) {
      this.#watch(left);
      return;
    }
    if (!this.#stalled && this.#refused === null) this.#deps.onDegraded('stalled', null);
    this.#stalled = true;
    this.#inFlight?.settle('stalled');
    for (const batch of this.#queue) batch.settle('stalled');
  };
}

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

function reasonOf(error: unknown): Unrecorded {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return FULL.has(code) ? 'disk_full' : 'disk_error';
}

function ignore(): void {}
