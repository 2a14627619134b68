// Notify at work on a database and receivers of its own; everything it started ends with the test.
import assert from 'node:assert/strict';
import { parseRanges } from '../../src/addresses.ts';
import { makeLog } from '../../src/log.ts';
import { type Notify, startNotify } from '../../src/notify/start.ts';
import { makeSafeFetch } from '../../src/safe-fetch.ts';
import { type NotifyGround, notifyGround } from './notify-ground.ts';
import { type Behaviour, type Received, type Receiver, startReceiver } from './receiver.ts';

export interface Run {
  readonly ground: NotifyGround;
  start(options?: RunOptions): Notify;
  receiver(behaviour?: Behaviour): Promise<Receiver>;
  /** Deliveries that rest in this state, as soon as there are so many. */
  rested(state: string, count: number): Promise<readonly { readonly attempts: number }[]>;
  /** As soon as nothing waits for its fan-out. */
  fannedOut(): Promise<void>;
}

export interface RunOptions {
  readonly clock?: { ms: number };
  readonly attemptMs?: number;
  readonly allowLoopback?: boolean;
}

export interface Payload {
  readonly id: string;
  readonly type: string;
  readonly webhook_delivery_attempt: number;
  readonly data: {
    readonly object: {
      readonly label: string;
      readonly message_data: { readonly count: number };
      readonly link_data: readonly { readonly count: number; readonly url: string }[];
      readonly recents: readonly { readonly click_id: string; readonly user_agent: string }[];
    };
  };
}

export async function notifyRun(context: { after(release: () => Promise<void>): void }): Promise<Run> {
  const releases: (() => Promise<void>)[] = [];
  context.after(async () => {
    for (const release of releases.reverse()) await release();
  });
  const ground = await notifyGround();
  const { sql } = ground;
  releases.push(() => ground.drop());

  return {
    ground,
    start({ clock, attemptMs, allowLoopback = true } = {}) {
      const safeFetch = makeSafeFetch({ allowLoopback, allowPrivateTargets: parseRanges('') });
      const notify = startNotify({
        sql,
        log: makeLog('error'),
        vault: ground.vault,
        safeFetch,
        random: () => 0.5,
        pollMs: 20,
        ...(clock ? { now: () => clock.ms } : {}),
        ...(attemptMs === undefined ? {} : { attemptMs }),
      });
      releases.push(async () => {
        await notify.stop();
        await safeFetch.close();
      });
      return notify;
    },
    async receiver(behaviour) {
      const receiver = await startReceiver();
      if (behaviour) receiver.behave(behaviour);
      releases.push(() => receiver.close());
      return receiver;
    },
    async rested(state, count) {
      return await until(`${count} deliveries ${state}`, async () => {
        const rows = await sql<{ attempts: number }[]>`select attempts from deliveries where state = ${state}`;
        return rows.length >= count ? [...rows] : null;
      });
    },
    async fannedOut() {
      await until('the outbox is empty', async () => (await sql`select from outbox`).length === 0);
    },
  };
}

export function payloadOf(request: Received | undefined): Payload {
  assert.ok(request);
  return JSON.parse(request.body.toString('utf8'));
}

/** Looks until there is something: for what only the database tells. */
export async function until<T>(what: string, look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`not within 10 s: ${what}`);
}
