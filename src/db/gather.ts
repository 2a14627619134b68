export interface GatherOptions<T, R> {
  /** Items in one batch. */
  readonly atOnce: number;
  /** What one item weighs; a batch is closed by the item that brings it to `most`. */
  readonly weight?: { readonly of: (item: T) => number; readonly most: number };
  /** Does a batch; one result per item, in their order. */
  run(items: readonly T[]): Promise<readonly R[]>;
  /** Whether a batch failed because of what is in it, so that its halves are tried by themselves. */
  isTheirs(error: unknown): boolean;
  /** Where a batch failed for what is not about its items, what waits behind it fails at once with it. */
  readonly failTogether?: boolean;
}

/**
 * Does together what is asked for in one turn of the event loop or while an earlier batch is under way. A commit costs the
 * same for one row and for thirty. An item that its batch cannot take fails alone.
 */
export function gather<T, R>({
  atOnce,
  weight,
  run,
  isTheirs,
  failTogether,
}: GatherOptions<T, R>): (item: T) => Promise<R> {
  let waiting: Waiting<T, R>[] = [];
  let running = false;

  const work = async (): Promise<void> => {
    running = true;
    while (waiting.length > 0) {
      await turn();
      const size = sizeOf(waiting);
      const batch = waiting.slice(0, size);
      waiting = waiting.slice(size);
      await settle(batch);
    }
    running = false;
  };
  const sizeOf = (items: readonly Waiting<T, R>[]): number => {
    const most = Math.min(atOnce, items.length);
    if (weight === undefined) return most;
    let sum = 0;
    const heavy = items.findIndex(({ item }) => {
      sum += weight.of(item);
      return sum >= weight.most;
    });
    return heavy < 0 ? most : Math.min(most, heavy + 1);
  };
  const settle = async (batch: readonly Waiting<T, R>[]): Promise<void> => {
    try {
      const results = await run(batch.map(({ item }) => item));
      for (const [at, { resolve, reject }] of batch.entries()) {
        const result = results[at];
        if (result === undefined) reject(new Error('a batch gave no result for an item'));
        else resolve(result);
      }
    } catch (error) {
      if (batch.length > 1 && isTheirs(error)) {
        const middle = Math.ceil(batch.length / 2);
        await settle(batch.slice(0, middle));
        await settle(batch.slice(middle));
      } else {
        const behind = failTogether && !isTheirs(error) ? waiting.splice(0) : [];
        for (const { reject } of [...batch, ...behind]) reject(error);
      }
    }
  };
  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!running) void work();
    });
}

/** What arrived together from the network joins the batch: under load that saves half of the round trips. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}
