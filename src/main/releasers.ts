import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log.ts';

/** The order of stopping: nobody takes on work, then nobody comes in, then what was said is written down, then the tools go. */
const PHASES = ['work', 'doors', 'ledger', 'tools'] as const;
export type Phase = (typeof PHASES)[number];

/** Together below the ten seconds that supervisors usually grant. What is cut off here is taken up at the next start. */
const WITHIN_MS: Readonly<Record<Phase, number>> = { work: 3500, doors: 2200, ledger: 1300, tools: 2200 };

type Release = () => Promise<unknown> | unknown;

/** What has been started, to be stopped by phase, within a phase in reverse, workers all at once. One that fails does not keep the others from it. */
export class Releasers {
  readonly #log: Log;
  readonly #stack: { readonly phase: Phase; readonly name: string; readonly release: Release }[] = [];
  #released: Promise<void> | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  add(phase: Phase, name: string, release: Release): void {
    this.#stack.unshift({ phase, name, release });
  }

  get begun(): boolean {
    return this.#released !== null;
  }

  release(): Promise<void> {
    this.#released ??= this.#releaseAll();
    return this.#released;
  }

  async #releaseAll(): Promise<void> {
    for (const phase of PHASES) {
      const parts = this.#stack.filter((each) => each.phase === phase);
      const left = new Set(parts.map(({ name }) => name));
      const stop = async ({ name, release }: (typeof parts)[number]): Promise<void> => {
        await this.#releaseOne(name, release);
        left.delete(name);
      };
      const inTurn = async (): Promise<void> => {
        for (const part of parts) await stop(part);
      };
      // Workers know nothing of each other.
      const released = phase === 'work' ? Promise.all(parts.map(stop)) : inTurn();
      const done = await Promise.race([released, delay(WITHIN_MS[phase], 'late', { ref: false })]);
      if (done === 'late') this.#log.warn({ phase, parts: [...left] }, 'part.stopped_late');
    }
  }

  async #releaseOne(part: string, release: Release): Promise<void> {
    const began = performance.now();
    try {
      await release();
      this.#log.debug({ part, ms: Math.round(performance.now() - began) }, 'part.stopped');
    } catch (error) {
      this.#log.error({ part, err: error }, 'part.stop_failed');
    }
  }
}
