// Lists by notification id, newest first, that stay quick also where a filter leaves little of very much.

/** From `from` on (inclusive), before `before`. */
export interface IdRange {
  readonly from: string;
  readonly before: string;
}

export interface Page<T> {
  /** Newest first. */
  readonly items: readonly T[];
  /** The list goes on before this id; null at its end. A page may be short, even empty, and the list still go on. */
  readonly next: string | null;
}

export interface Listing<T> {
  /** The id of the 5,000th row of the range, newest first, whatever the filter says; null where there are fewer. */
  edge(range: IdRange, rows: number): Promise<string | null>;
  /** What the filter leaves of the range, newest first, at most so many. */
  read(range: IdRange, limit: number): Promise<readonly T[]>;
}

export const WINDOW = 5_000;
const WINDOWS = 20;

/** A page of at most `limit`; looks at no more than 100,000 rows for it. */
export async function readPage<T extends { readonly notificationId: string }>(
  { edge, read }: Listing<T>,
  range: IdRange,
  limit: number,
): Promise<Page<T>> {
  const found: T[] = [];
  let { before } = range;
  for (let window = 0; window < WINDOWS; window++) {
    const from = await edge({ from: range.from, before }, WINDOW);
    found.push(...(await read({ from: from ?? range.from, before }, limit + 1 - found.length)));
    if (found.length > limit) {
      const items = found.slice(0, limit);
      return { items, next: items.at(-1)?.notificationId ?? null };
    }
    if (from === null) return { items: found, next: null };
    before = from;
  }
  return { items: found, next: before };
}
