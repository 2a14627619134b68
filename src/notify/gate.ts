/** Lets so many in at once by key; the others wait in the order in which they came. */
export interface Gate {
  /** True once it is in: it must leave. False: it was sent back. */
  enter(key: string, most: number): Promise<boolean>;
  leave(key: string, most: number): void;
  /** All that wait for this key, or all there are. */
  sendBack(key?: string): void;
}

export function makeGate(): Gate {
  const inside = new Map<string, number>();
  const lines = new Map<string, ((isIn: boolean) => void)[]>();

  const sendBack = (key: string): void => {
    for (const resolve of lines.get(key) ?? []) resolve(false);
    lines.delete(key);
  };
  return {
    enter(key, most) {
      const there = inside.get(key) ?? 0;
      if (there < most) {
        inside.set(key, there + 1);
        return Promise.resolve(true);
      }
      return new Promise((resolve) => {
        const line = lines.get(key);
        if (line === undefined) lines.set(key, [resolve]);
        else line.push(resolve);
      });
    },
    leave(key, most) {
      let there = (inside.get(key) ?? 1) - 1;
      const line = lines.get(key) ?? [];
      for (; there < most && line.length > 0; there++) line.shift()?.(true);
      if (line.length === 0) lines.delete(key);
      if (there > 0) inside.set(key, there);
      else inside.delete(key);
    },
    sendBack(key) {
      for (const one of key === undefined ? [...lines.keys()] : [key]) sendBack(one);
    },
  };
}
