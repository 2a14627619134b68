import { setTimeout as delay } from 'node:timers/promises';
import { watchDatabase } from '../db/database-watch.ts';
import type { Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import { DeadlinePassed, type Failure, failureOf } from './failure.ts';
import type { Hit } from './hit.ts';
import { type BatchResult, hitBatches } from './hit-batch.ts';
import { setAside } from './quarantine.ts';

/** Hits of one transaction at most. Under less load a batch is what came in during the one before: alone, one hit. */
const BATCH = 500;
/** A transaction that takes longer is given up and run again; should it commit after all, its ids are known. */
const DEADLINE_MS = 60_000;
const LONGEST_PAUSE_MS = 2000;
/** Far below the ten minutes for which the spool keeps released segments. */
const LOOK_EVERY_MS = 10_000;
const FIRST_PAUSE_MS = 20;
const QUICK_RETRIES = 5;
const DAY_MS = 24 * 60 * 60 * 1000;

/** What the recorder needs of the spool. Hits come in order, the same ones again until `done`. */
export interface SpoolReader<Position> {
  read(max: number): Promise<{ readonly hits: readonly Hit[]; readonly upTo: Position }>;
  done(upTo: Position): Promise<void>;
  /** Hands out again what was released lately. */
  replayReleased(): Promise<void>;
  onAppend(wake: () => void): void;
  depth(): { readonly oldest: Date | null };
}

export interface RecorderDeps<Position> {
  readonly sql: Sql;
  readonly spool: SpoolReader<Position>;
  /** Called after every commit that left facts in the outbox. */
  wake(): void;
  readonly log: Pick<Log, 'debug' | 'info' | 'warn' | 'error'>;
  /** The rest is for tests. */
  readonly lookEveryMs?: number;
}

/** Since the start; a batch that had to be run again is counted once. */
export interface RecorderFigures {
  recorded: number;
  uncounted: number;
  duplicates: number;
  /** Hits of deleted grants. */
  dropped: number;
  quarantined: number;
  batches: number;
  retries: number;
  replays: number;
}

export interface Recorder {
  readonly figures: Readonly<RecorderFigures>;
  /** Age of the oldest hit that is not in the database, 0 when there is none. */
  lagSeconds(): number;
  /** Lets the batch in hand finish, unless the database is gone; the rest waits on disk for the next start. */
  stop(): Promise<void>;
}

export function startRecorder<Position>(deps: RecorderDeps<Position>): Recorder {
  const { sql, spool, wake, log, lookEveryMs = LOOK_EVERY_MS } = deps;
  const figures: RecorderFigures = {
    recorded: 0,
    uncounted: 0,
    duplicates: 0,
    dropped: 0,
    quarantined: 0,
    batches: 0,
    retries: 0,
    replays: 0,
  };
  const stopping = new AbortController();
  const database = watchDatabase(sql);
  const batches = hitBatches(sql);
  let preparedOn = -1;
  let replayIsDue = false;
  let appended = false;
  let stir = (): void => {};
  spool.onAppend(() => {
    appended = true;
    stir();
  });

  async function drain(): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!stopping.signal.aborted) {
      try {
        await step();
        if (pause > FIRST_PAUSE_MS) log.info({}, 'recorder.resumed');
        pause = FIRST_PAUSE_MS;
      } catch (error) {
        const { lost, reason } = failureOf(error);
        if (lost) replayIsDue = true;
        if (pause === FIRST_PAUSE_MS) log.warn({ reason }, 'recorder.waiting');
        figures.retries++;
        await delay(pause, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
    }
  }

  async function step(): Promise<void> {
    if (replayIsDue || database.age() >= lookEveryMs) await look();
    if (replayIsDue) await replay();
    appended = false;
    const { hits, upTo } = await spool.read(BATCH);
    if (hits.length === 0) return idle();
    await recordAll(hits);
    await spool.done(upTo);
  }

  /** A server that was restarted, or another that took over, may have lost commits: what was released is read again. */
  async function look(): Promise<void> {
    if (await database.look()) replayIsDue = true;
    const day = Math.floor(database.now() / DAY_MS);
    if (day === preparedOn) return;
    await batches.prepare(database.now());
    preparedOn = day;
  }

  async function replay(): Promise<void> {
    await spool.replayReleased();
    replayIsDue = false;
    figures.replays++;
    log.info({}, 'recorder.replaying');
  }

  /** Records hits in order; a poisonous one is found by halving and set aside. Throws only where waiting helps. */
  async function recordAll(hits: readonly Hit[]): Promise<void> {
    const failure = await attempt(hits);
    if (failure === null) return;
    if (hits.length > 1) {
      const half = Math.ceil(hits.length / 2);
      await recordAll(hits.slice(0, half));
      return recordAll(hits.slice(half));
    }
    const { reason, code } = failure;
    await withDeadline(
      setAside(
        sql,
        hits.map((hit) => ({ hit, reason })),
      ),
    );
    figures.quarantined++;
    log.error({ code }, 'hit.quarantined');
  }

  /** Null, or what the database has against the batch itself. */
  async function attempt(hits: readonly Hit[]): Promise<Failure | null> {
    for (let tries = 1; ; tries++) {
      try {
        tally(await withDeadline(batches.record(hits, database.now())));
        return null;
      } catch (error) {
        const failure = failureOf(error);
        if (failure.kind === 'wait') throw error;
        if (failure.kind === 'poison' || tries > QUICK_RETRIES) return failure;
        figures.retries++;
        batches.forgetPartitions();
      }
    }
  }

  function tally(result: BatchResult): void {
    figures.batches++;
    figures.recorded += result.counted;
    figures.uncounted += result.uncounted;
    figures.duplicates += result.duplicates;
    figures.dropped += result.dropped;
    figures.quarantined += result.quarantined;
    log.debug({ ...result }, 'hits.recorded');
    if (result.counted > 0) wake();
  }

  /** Until the next hit, or until it is time to look at the database again. */
  async function idle(): Promise<void> {
    if (appended || stopping.signal.aborted) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      stir = resolve;
      timer = setTimeout(resolve, lookEveryMs).unref();
    });
    clearTimeout(timer);
  }

  const drained = drain();
  return {
    figures,
    lagSeconds() {
      const { oldest } = spool.depth();
      return oldest === null ? 0 : Math.max(0, (Date.now() - oldest.getTime()) / 1000);
    },
    async stop() {
      stopping.abort();
      stir();
      await drained;
    },
  };
}

function withDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DeadlinePassed()), DEADLINE_MS).unref();
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
