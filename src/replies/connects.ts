// When a connection to a mailbox may be opened: so many a second, so many logins at once, servers in turn.

export interface Connects {
  /**
   * Resolves when it is this one's turn, with what is to be called when the login has ended, and whether the server
   * answered as one that works does (null: it was not asked). Null where the signal aborted. Within a server first come,
   * first served; a server that did not work the last time gets one at a time until it does.
   */
  permit(server: string, signal: AbortSignal): Promise<((works: boolean | null) => void) | null>;
  readonly counts: { readonly waiting: number; readonly underWay: number; readonly granted: number };
}

export interface ConnectsLimits {
  readonly perSecond?: number;
  readonly atOnce?: number;
}

const PER_SECOND = 25;
const AT_ONCE = 20;
/** Of the logins at once, for one server: one that answers slowly leaves the others their places. */
const SHARE_OF_ONE = 0.75;
/** After a pause so many seconds' worth of starts may come together. */
const BURST_SECONDS = 0.2;

interface Queue {
  readonly waiting: Set<() => void>;
  underWay: number;
  isFailing: boolean;
}

export function makeConnects({ perSecond = PER_SECOND, atOnce = AT_ONCE }: ConnectsLimits = {}): Connects {
  const burst = Math.max(1, perSecond * BURST_SECONDS);
  const most = Math.max(1, Math.floor(atOnce * SHARE_OF_ONE));
  const counts = { waiting: 0, underWay: 0, granted: 0 };
  /** In the order in which they have their turns; those that nobody waits for and that do not fail are forgotten. */
  const queues = new Map<string, Queue>();
  let tokens = burst;
  let filledAt = performance.now();
  let timer: NodeJS.Timeout | null = null;

  const fill = (): void => {
    const now = performance.now();
    tokens = Math.min(burst, tokens + ((now - filledAt) / 1000) * perSecond);
    filledAt = now;
  };
  const next = (): (() => void) | null => {
    if (counts.waiting === 0) return null;
    for (const [server, queue] of queues) {
      const [first] = queue.waiting;
      if (first === undefined || queue.underWay >= (queue.isFailing ? 1 : most)) continue;
      queues.delete(server);
      queues.set(server, queue);
      return first;
    }
    return null;
  };
  const serve = (): void => {
    fill();
    while (counts.underWay < atOnce && tokens >= 1) {
      const start = next();
      if (start === null) return;
      tokens -= 1;
      start();
    }
    if (counts.waiting === 0 || counts.underWay >= atOnce || timer !== null) return;
    timer = setTimeout(
      () => {
        timer = null;
        serve();
      },
      Math.ceil(((1 - tokens) / perSecond) * 1000),
    ).unref();
  };
  const queueOf = (server: string): Queue => {
    const known = queues.get(server) ?? { waiting: new Set(), underWay: 0, isFailing: false };
    queues.set(server, known);
    return known;
  };
  const forget = (server: string, queue: Queue): void => {
    if (queue.waiting.size === 0 && queue.underWay === 0 && !queue.isFailing) queues.delete(server);
  };

  return {
    counts,
    permit(server, signal) {
      if (signal.aborted) return Promise.resolve(null);
      const queue = queueOf(server);
      const done = (works: boolean | null): void => {
        counts.underWay -= 1;
        queue.underWay -= 1;
        if (works !== null) queue.isFailing = !works;
        forget(server, queue);
        serve();
      };
      return new Promise((resolve) => {
        const leave = (): void => {
          queue.waiting.delete(start);
          counts.waiting -= 1;
          forget(server, queue);
          resolve(null);
        };
        const start = (): void => {
          signal.removeEventListener('abort', leave);
          queue.waiting.delete(start);
          queue.underWay += 1;
          counts.waiting -= 1;
          counts.underWay += 1;
          counts.granted += 1;
          resolve(done);
        };
        signal.addEventListener('abort', leave, { once: true });
        queue.waiting.add(start);
        counts.waiting += 1;
        serve();
      });
    },
  };
}
