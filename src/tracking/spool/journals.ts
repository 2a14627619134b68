import { join } from 'node:path';
import type { Hit } from '../hit.ts';
import { Journal, type Place } from './journal.ts';
import { journalNames, removeSlot } from './slot.ts';

export interface Depth {
  hits: number;
  bytes: number;
  oldest: Date | null;
}

interface AdoptedSlot {
  readonly folder: string;
  readonly journals: Journal[];
}

/** This process's journals and those it adopted, read as one: what has waited longest comes first. */
export class Journals {
  adoptedSlots = 0;
  readonly #own: readonly Journal[];
  readonly #adopted: AdoptedSlot[] = [];
  /** Folders taken over, also those done with. */
  readonly #known = new Set<string>();
  #all: readonly Journal[];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(own: readonly Journal[]) {
    this.#own = own;
    this.#all = own;
  }

  get pendingBytes(): number {
    let bytes = 0;
    for (const journal of this.#all) bytes += journal.pendingBytes;
    return bytes;
  }

  get damaged(): number {
    return this.#all.reduce((sum, { damaged }) => sum + damaged, 0);
  }

  depth(): Depth {
    const times = this.#all.flatMap(({ oldestAt }) => oldestAt ?? []);
    return {
      hits: this.#all.reduce((sum, { pendingHits }) => sum + pendingHits, 0),
      bytes: this.pendingBytes,
      oldest: times.length === 0 ? null : new Date(Math.min(...times)),
    };
  }

  read(max: number): Promise<{ hits: Hit[]; upTo: Place | null }> {
    return this.#inTurn(async () => {
      const waiting = this.#all.filter(({ oldestAt }) => oldestAt !== null);
      waiting.sort((a, b) => (a.oldestAt ?? 0) - (b.oldestAt ?? 0));
      for (const journal of waiting) {
        const batch = await journal.read(max);
        if (batch.hits.length > 0) return batch;
      }
      return { hits: [], upTo: null };
    });
  }

  done(upTo: Place | null): Promise<void> {
    return this.#inTurn(async () => upTo?.journal.done(upTo));
  }

  replay(): Promise<void> {
    return this.#inTurn(async () => {
      for (const journal of this.#all) await journal.replay();
    });
  }

  /** Takes over the folder of an adopted slot and returns how many hits wait in it; null when it was before. */
  adopt(folder: string): Promise<number | null> {
    return this.#inTurn(async () => {
      if (this.#known.has(folder)) return null;
      const journals: Journal[] = [];
      for (const name of await journalNames(folder)) journals.push(await Journal.load(join(folder, name)));
      this.#known.add(folder);
      this.#adopted.push({ folder, journals });
      this.adoptedSlots++;
      this.#list();
      return journals.reduce((sum, { pendingHits }) => sum + pendingHits, 0);
    });
  }

  /** Saves positions, drops what was kept since before `keptBefore` (Unix ms) and adopted slots with nothing left. */
  tidy(keptBefore: number, mostKeptBytes: number): Promise<void> {
    return this.#inTurn(async () => {
      for (const journal of this.#all) {
        await journal.releaseDrained();
        await journal.saveCursor();
        await journal.kept.forget(keptBefore, mostKeptBytes);
      }
      for (const slot of this.#adopted.filter(({ journals }) => journals.every(({ empty }) => empty))) {
        this.#adopted.splice(this.#adopted.indexOf(slot), 1);
        this.#list();
        for (const journal of slot.journals) await journal.close();
        await removeSlot(slot.folder);
      }
    });
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      for (const journal of this.#all) await journal.close();
    });
  }

  #list(): void {
    this.#all = [...this.#adopted.flatMap(({ journals }) => journals), ...this.#own];
  }

  /** Everything here shares state across awaits, so it goes one after the other. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
