export interface GatherOptions<T, R> {
  /** Items in one batch. */
  readonly atOnce: number;
  /** Does a batch; one result per item, in their order. */
  run(items: readonly T[]): Promise<readonly R[]>;
  /** Whether a batch failed because of what is in it, so that each of its items is tried alone. */
  isTheirs(error: unknown): boolean;
}

/**
 * Does together what is asked for in one turn of the event loop or while an earlier batch is under way. A commit costs the
 * same for one row and for thirty. An item that its batch cannot take fails alone.
 */
export function gather<T, R>({ atOnce, run, isTheirs }: GatherOptions<T, R>): (item: T) => Promise<R> {
  let waiting: Waiting<T, R>[] = [];
  let running = false;

  const work = async (): Promise<void> => {
    running = true;
    while (waiting.length > 0) {
      await turn();
      const batch = waiting.slice(0, atOnce);
      waiting = waiting.slice(atOnce);
      await settle(batch);
    }
    running = false;
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
      if (batch.length > 1 && isTheirs(error)) for (const one of batch) await settle([one]);
      else for (const { reject } of batch) reject(error);
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
