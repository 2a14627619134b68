import { readdir, rm } from 'node:fs/promises';
import type { Hit } from '../hit.ts';
import { Journal, type Place } from './journal.ts';

export interface Depth {
  hits: number;
  bytes: number;
  oldest: Date | null;
}

/** This process's journal and those it adopted, read as one: adopted ones first, they are older. */
export class Journals {
  readonly own: Journal;
  adoptedSlots = 0;
  readonly #adopted: Journal[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(own: Journal) {
    this.own = own;
  }

  get pendingBytes(): number {
    let bytes = this.own.pendingBytes;
    for (const journal of this.#adopted) bytes += journal.pendingBytes;
    return bytes;
  }

  get damaged(): number {
    return this.#all().reduce((sum, { damaged }) => sum + damaged, 0);
  }

  depth(): Depth {
    const times = this.#all().flatMap(({ oldestAt }) => oldestAt ?? []);
    return {
      hits: this.#all().reduce((sum, { pendingHits }) => sum + pendingHits, 0),
      bytes: this.pendingBytes,
      oldest: times.length === 0 ? null : new Date(Math.min(...times)),
    };
  }

  read(max: number): Promise<{ hits: Hit[]; upTo: Place }> {
    return this.#inTurn(async () => {
      for (const journal of this.#adopted) {
        const batch = await journal.read(max);
        if (batch.hits.length > 0) return batch;
      }
      return this.own.read(max);
    });
  }

  done(upTo: Place): Promise<void> {
    return this.#inTurn(() => upTo.journal.done(upTo));
  }

  replay(): Promise<void> {
    return this.#inTurn(async () => {
      for (const journal of this.#all()) await journal.replay();
    });
  }

  /** Takes over the folder of an adopted slot and returns how many hits wait in it. */
  adopt(folder: string): Promise<number> {
    return this.#inTurn(async () => {
      const journal = await Journal.load(folder);
      this.#adopted.push(journal);
      this.adoptedSlots++;
      return journal.pendingHits;
    });
  }

  /** Saves positions, drops what was kept since before `keptBefore` (Unix ms) and adopted folders with nothing left. */
  tidy(keptBefore: number, mostKeptBytes: number): Promise<void> {
    return this.#inTurn(async () => {
      for (const journal of this.#all()) {
        await journal.saveCursor();
        await journal.kept.forget(keptBefore, mostKeptBytes);
      }
      for (const journal of this.#adopted.filter(({ empty }) => empty)) {
        this.#adopted.splice(this.#adopted.indexOf(journal), 1);
        await journal.close();
        // Files that are no segments of this version stay for a person to look at.
        const left = await readdir(journal.folder);
        if (!left.some((name) => name.endsWith('.seg'))) await rm(journal.folder, { recursive: true, force: true });
      }
    });
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      for (const journal of this.#all()) await journal.close();
    });
  }

  #all(): Journal[] {
    return [...this.#adopted, this.own];
  }

  /** Everything here shares state across awaits, so it goes one after the other. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
