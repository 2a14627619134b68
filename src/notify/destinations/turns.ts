export type Turns = <T>(key: string, run: () => Promise<T>) => Promise<T>;

/** What has the same key runs one after the other, in the order of the calls and whatever became of those before. */
export function makeTurns(): Turns {
  const last = new Map<string, Promise<unknown>>();
  return async (key, run) => {
    const before = last.get(key);
    const mine = before === undefined ? run() : before.then(run, run);
    last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (last.get(key) === mine) last.delete(key);
    }
  };
}
