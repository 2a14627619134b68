import { rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Segment } from './segment.ts';

/** Segments already recorded in the database, kept for a while: a failover may roll its last moments back. */
export class Kept {
  readonly #folder: string;
  #segments: { segment: Segment; at: number }[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  get empty(): boolean {
    return this.#segments.length === 0;
  }

  /** Found under its kept name. */
  found(segment: Segment, at: number): void {
    this.#segments.push({ segment, at });
  }

  async keep(segment: Segment): Promise<void> {
    const at = Date.now();
    await rename(this.#live(segment), this.#kept(segment, at));
    this.#segments.push({ segment, at });
  }

  /** Gives all of them their live names back and forgets them here; in order. */
  async takeBack(): Promise<Segment[]> {
    const back: Segment[] = [];
    for (const { segment, at } of this.#segments) {
      const there = await rename(this.#kept(segment, at), this.#live(segment)).then(
        () => true,
        () => false, // removed by hand
      );
      if (there) back.push(segment);
    }
    this.#segments = [];
    return back;
  }

  /** Removes those kept since before `before` (Unix ms), then the oldest until they take `mostBytes` at most. */
  async forget(before: number, mostBytes: number): Promise<void> {
    let bytes = this.#segments.reduce((sum, { segment }) => sum + segment.end, 0);
    for (let oldest = this.#segments[0]; oldest !== undefined; oldest = this.#segments[0]) {
      if (oldest.at >= before && bytes <= mostBytes) return;
      await unlink(this.#kept(oldest.segment, oldest.at)).catch(() => undefined);
      bytes -= oldest.segment.end;
      this.#segments.shift();
    }
  }

  #live(segment: Segment): string {
    return join(this.#folder, `${segment.name}.seg`);
  }

  #kept(segment: Segment, at: number): string {
    return join(this.#folder, `${segment.name}.${at}.done`);
  }
}
