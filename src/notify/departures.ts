// Of what tells one destination of one thing, the later leaves after the earlier. Not after its answer, where it can be
// told when it left: that would make a queue about one message as slow as one connection.

export interface Departure {
  /** The one before has left, or came to its end. It is not waited for without end: it may hang. */
  readonly turn: Promise<void>;
  /** May be said more than once. */
  left(): void;
}

const AT_ONCE = Promise.resolve();

/** In the order of the calls. */
export function makeDepartures(): (key: string, longestWaitMs: number) => Departure {
  const last = new Map<string, Promise<void>>();
  return (key, longestWaitMs) => {
    const before = last.get(key);
    let resolve = (): void => {};
    const mine = new Promise<void>((done) => {
      resolve = done;
    });
    last.set(key, mine);
    return {
      turn: before === undefined ? AT_ONCE : atMost(before, longestWaitMs),
      left() {
        if (last.get(key) === mine) last.delete(key);
        resolve();
      },
    };
  };
}

function atMost(before: Promise<void>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void before.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
