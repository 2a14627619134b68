import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hit, NewHit } from './hit.ts';
import type { Outcome, Settle, Unrecorded } from './spool/batch.ts';
import { type Disk, realDisk } from './spool/disk.ts';
import { Journal, type Place } from './spool/journal.ts';
import { type Depth, Journals } from './spool/journals.ts';
import { HEADER_BYTES, SEGMENT_BYTES, type Segment, segmentHeader, segmentNumber } from './spool/segment.ts';
import { adoptDeadSlots, claimSlot, newSlotFolder, type Slot } from './spool/slot.ts';
import { type OpenSegment, Writer } from './spool/writer.ts';

export type { Outcome, Settle, Unrecorded };
/** How far the reader has come; opaque. */
export type Position = Place | null;

export interface SpoolReader {
  /** The next hits, in the order of writing but for the two files; at most `max`; empty when drained to the durable end. The position only moves with `done`. */
  read(max: number): Promise<{ hits: Hit[]; upTo: Position }>;
  /** Everything up to there is committed in the database. Finished segments are kept ten minutes more. */
  done(upTo: Position): Promise<void>;
  /** After a lost database connection: reads the kept segments again. A `done` for an older `read` no longer counts. */
  replayReleased(): Promise<void>;
  /** `wake` is called after every commit. */
  onAppend(wake: () => void): void;
  readonly depth: () => Depth;
}

export interface SpoolState {
  /** Why hits are answered without being on the disk right now; null when they are on it. */
  readonly degraded: Unrecorded | null;
  /** Hits answered as unrecorded that reached the disk later. */
  readonly landedLate: number;
  /** Frames that did not check: torn tails of crashes and flipped bits. */
  readonly damagedFrames: number;
  /** Slots of other processes taken over. */
  readonly adoptedSlots: number;
}

export interface Spool {
  /** Never throws; `settle` is called exactly once, perhaps at once, and after 250 ms at the latest. */
  append(hit: NewHit, settle: Settle): void;
  readonly reader: SpoolReader;
  state(): SpoolState;
  /** Looks for slots without an owner now instead of at the next half minute. */
  adopt(): Promise<void>;
  /** Commits what was appended and gives the slot up. */
  close(): Promise<void>;
}

export interface SpoolLog {
  info(fields: object, event: string): void;
  warn(fields: object, event: string): void;
}

export interface SpoolDeps {
  dataDir: string;
  log: SpoolLog;
  /** The rest is for tests. */
  disk?: Disk;
  limitBytes?: number;
  segmentBytes?: number;
  answerWithinMs?: number;
  keepMs?: number;
}

/** Two files take commits: a disk that is late with one usually answers the other (up to 1.7 times the hits, measured). */
const FILES = 2;
const LATE_MS = 0.8;
const LIMIT_BYTES = 1 << 30;
/** Above this part of the limit opens are no longer kept, so that clicks can be. */
const OPENS_UP_TO = 0.8;
/** A little under the promised 250 ms, for the turns it takes to answer. */
const ANSWER_WITHIN_MS = 235;
const KEEP_MS = 10 * 60_000;
const ADOPT_EVERY_MS = 30_000;
const TIDY_EVERY_MS = 1_000;
const CLOSE_WITHIN_MS = 5_000;

/**
 * Opens the spool of this process in a slot of its own below `<dataDir>/spool` and adopts those left by processes that
 * are gone. Resolves even when the disk refuses: hits are then answered as unrecorded until it recovers.
 */
export async function openSpool(deps: SpoolDeps): Promise<Spool> {
  const { log, disk = realDisk, limitBytes = LIMIT_BYTES, segmentBytes = SEGMENT_BYTES, keepMs = KEEP_MS } = deps;
  const spoolFolder = join(deps.dataDir, 'spool');
  const folder = newSlotFolder(spoolFolder);
  const own = Array.from({ length: FILES }, (_, index) => new Journal(join(folder, String(index))));
  const journals = new Journals(own);
  const wakes: (() => void)[] = [];
  let slot: Slot | null = null;
  let claiming: Promise<Slot> | null = null;
  let shedding = false;

  const wakeAll = (): void => {
    for (const wake of wakes) wake();
  };

  async function claim(): Promise<void> {
    claiming ??= claimSlot(folder);
    try {
      slot = await claiming;
    } catch (error) {
      claiming = null;
      throw error;
    }
  }

  const writers = own.map((journal) => {
    let made = 0;
    return new Writer({
      disk,
      segmentBytes,
      answerWithinMs: deps.answerWithinMs ?? ANSWER_WITHIN_MS,
      async prepare(): Promise<OpenSegment> {
        await claim();
        await mkdir(journal.folder, { recursive: true, mode: 0o700 });
        const header = segmentHeader();
        const segment: Segment = {
          name: String(++made).padStart(10, '0'),
          number: segmentNumber(header) ?? 0,
          end: HEADER_BYTES,
          hits: 0,
          finished: false,
          firstAt: 0,
        };
        return { fd: await disk.create(journal.path(segment), header, segmentBytes), bytes: segmentBytes, segment };
      },
      onStart: (segment) => journal.start(segment),
      onCommit(segment, frameBytes, hits, firstAt) {
        journal.committed(segment, frameBytes, hits, firstAt);
        wakeAll();
      },
      onFinish: (segment) => journal.finish(segment),
      onDegraded: (reason, error) => log.warn({ reason, err: error }, 'spool.degraded'),
      onRecovered: () => log.info({}, 'spool.recovered'),
    });
  });
  await Promise.all(writers.map((writer) => writer.start()));

  /** The first file, unless its commit is late: then whichever is less late. */
  function leastBehind(): Writer | undefined {
    let [best] = writers;
    let least = best?.behind() ?? 0;
    for (const writer of writers) {
      if (least < LATE_MS) break;
      const behind = writer.behind();
      if (behind < least) {
        best = writer;
        least = behind;
      }
    }
    return best;
  }

  async function adoptAll(): Promise<void> {
    if (slot === null) return;
    for (const dead of await adoptDeadSlots(spoolFolder, slot)) {
      const hits = await journals.adopt(dead).catch((error) => {
        log.warn({ err: error }, 'spool.adoption_failed'); // tried again; the others need not wait for it
        return null;
      });
      if (hits === null) continue;
      log.info({ hits }, 'spool.adopted');
      if (hits > 0) wakeAll();
    }
  }

  let adopting: Promise<void> = Promise.resolve();
  const adopt = (): Promise<void> => {
    adopting = adopting.then(adoptAll, adoptAll);
    return adopting;
  };

  const quietly = (event: string, work: () => Promise<void>) => (): void => {
    work().catch((error) => log.warn({ err: error }, event));
  };
  const adoptNow = quietly('spool.adoption_failed', adopt);
  const tidyNow = quietly('spool.tidying_failed', () => journals.tidy(Date.now() - keepMs, limitBytes));
  const timers = [setInterval(adoptNow, ADOPT_EVERY_MS).unref(), setInterval(tidyNow, TIDY_EVERY_MS).unref()];
  adoptNow();

  return {
    append(hit, settle) {
      const bytes = journals.pendingBytes;
      if (bytes < limitBytes * OPENS_UP_TO) shedding = false;
      else if (!isClick(hit) || bytes >= limitBytes) {
        if (!shedding) log.warn({ bytes, limitBytes }, 'spool.shedding');
        shedding = true;
        settle('shed');
        return;
      }
      leastBehind()?.append(hit, settle);
    },
    reader: {
      read: (max) => journals.read(max),
      done: (upTo) => journals.done(upTo),
      replayReleased: () => journals.replay(),
      onAppend: (wake) => void wakes.push(wake),
      depth: () => journals.depth(),
    },
    state: () => ({
      degraded: writers.every(({ trouble }) => trouble !== null) ? (writers[0]?.trouble ?? null) : null,
      landedLate: writers.reduce((sum, { landedLate }) => sum + landedLate, 0),
      damagedFrames: journals.damaged,
      adoptedSlots: journals.adoptedSlots,
    }),
    adopt,
    async close() {
      for (const timer of timers) clearInterval(timer);
      await Promise.all(writers.map((writer) => writer.close(CLOSE_WITHIN_MS)));
      await adopting.catch(() => undefined);
      await journals.close();
      await slot?.release();
    },
  };
}

/** The kind is the low half of an identity's first byte. */
function isClick({ identity }: NewHit): boolean {
  return ((identity[0] ?? 0) & 15) === 2;
}
