import { Agent, request } from 'node:http';

/** What a reader's program saw: answered hits are those whose whole answer arrived. */
export interface HitLoad {
  /** User agents (one per hit, never used twice) of the answered hits, by path. */
  readonly answered: Map<string, Set<string>>;
  /** Hits that were cut off or refused: they may or may not have been recorded. */
  readonly cut: Set<string>;
  /** Answers of another status than 200 or 302. */
  readonly wrong: string[];
  /** Slowest answer so far in milliseconds. */
  slowest(): number;
  stop(): Promise<void>;
}

/**
 * Hits `paths` in turn over `parallel` connections until stopped, each hit with a user agent of its own; a connection
 * that fails is followed by another hit after a moment. Bounded by `most` hits.
 */
export function startHitLoad(options: {
  readonly port: number;
  readonly paths: readonly string[];
  readonly parallel: number;
  readonly most?: number;
  readonly pauseMs?: number;
}): HitLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: options.parallel });
  const answered = new Map(options.paths.map((path) => [path, new Set<string>()]));
  const cut = new Set<string>();
  const wrong: string[] = [];
  const most = options.most ?? 200_000;
  let made = 0;
  let slowest = 0;
  let running = true;

  const hit = (path: string, userAgent: string): Promise<boolean> =>
    new Promise((resolve) => {
      const began = performance.now();
      const outgoing = request(
        { host: '127.0.0.1', port: options.port, path, agent, headers: { 'user-agent': userAgent } },
        (response) => {
          response.resume();
          response.once('error', () => resolve(false));
          response.once('close', () => {
            if (!response.complete) return resolve(false);
            slowest = Math.max(slowest, performance.now() - began);
            if (response.statusCode !== 200 && response.statusCode !== 302)
              wrong.push(`${response.statusCode} ${path}`);
            else answered.get(path)?.add(userAgent);
            resolve(true);
          });
        },
      );
      outgoing.once('error', () => resolve(false));
      outgoing.end();
    });

  const loop = async (): Promise<void> => {
    while (running && made < most) {
      const number = made++;
      const userAgent = `reader-${number}`;
      const whole = await hit(options.paths[number % options.paths.length] ?? '', userAgent);
      if (!whole) cut.add(userAgent);
      if (!whole || options.pauseMs !== undefined) await pause(whole ? (options.pauseMs ?? 0) : 5);
    }
  };
  const loops = Array.from({ length: options.parallel }, loop);
  return {
    answered,
    cut,
    wrong,
    slowest: () => slowest,
    async stop() {
      running = false;
      await Promise.all(loops);
      agent.destroy();
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
