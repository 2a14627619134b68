// Notify at work on a database and receivers of its own; everything it started ends with the test.
import assert from 'node:assert/strict';
import { parseRanges } from '../../src/addresses.ts';
import { makeLog } from '../../src/log.ts';
import type { Names } from '../../src/names.ts';
import { makeWebhook } from '../../src/notify/destinations/webhook.ts';
import { type Notify, startNotify } from '../../src/notify/start.ts';
import { makeSafeFetch } from '../../src/safe-fetch.ts';
import { testDestinations } from './destinations.ts';
import { type NotifyGround, notifyGround } from './notify-ground.ts';
import { type Behaviour, type Received, type Receiver, type ReceiverOptions, startReceiver } from './receiver.ts';

export interface Run {
  readonly ground: NotifyGround;
  start(options?: RunOptions): Notify;
  receiver(behaviour?: Behaviour, options?: ReceiverOptions): Promise<Receiver>;
  /** Ends with the test whatever else it started. */
  keep<T extends { close(): Promise<void> }>(started: Promise<T>): Promise<T>;
  /** Deliveries that rest in this state, as soon as there are so many. */
  rested(state: string, count: number): Promise<readonly { readonly attempts: number }[]>;
  /** As soon as nothing waits for its fan-out. */
  fannedOut(): Promise<void>;
}

export interface RunOptions {
  readonly clock?: { ms: number };
  readonly attemptMs?: number;
  readonly allowLoopback?: boolean;
  readonly concurrency?: number;
  readonly logLevel?: 'error' | 'silent';
  readonly names?: Names;
  /** Certificate authorities to trust, PEM. */
  readonly ca?: string;
  /** `host:port` of what answers for Pub/Sub. */
  readonly pubsubEmulator?: string;
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
    start(options = {}) {
      const { clock, attemptMs = 10_000, allowLoopback = true, concurrency, logLevel = 'error', names, ca } = options;
      const { destinations, close } = testDestinations({
        allowLoopback,
        pubsubEmulator: options.pubsubEmulator ?? null,
      });
      const safeFetch = makeSafeFetch({
        allowLoopback,
        allowPrivateTargets: parseRanges(''),
        ...(names === undefined ? {} : { names }),
        ...(ca === undefined ? {} : { ca }),
      });
      const notify = startNotify({
        sql,
        log: makeLog(logLevel),
        vault: ground.vault,
        destinations: { ...destinations, webhook: makeWebhook({ safeFetch, deadlineMs: attemptMs }) },
        ...(concurrency === undefined ? {} : { concurrency }),
        thresholds: { failingMinutes: 15, failedHours: 72, failurePercent: 95 },
        postman: null,
        publicUrl: 'http://localhost:8080',
        random: () => 0.5,
        pollMs: 20,
        ...(clock ? { now: () => clock.ms } : {}),
      });
      releases.push(async () => {
        await notify.stop();
        await safeFetch.close();
        await close();
      });
      return notify;
    },
    async receiver(behaviour, options) {
      const receiver = await startReceiver(options);
      if (behaviour) receiver.behave(behaviour);
      releases.push(() => receiver.close());
      return receiver;
    },
    async keep(started) {
      const one = await started;
      releases.push(() => one.close());
      return one;
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
export async function until<T>(
  what: string,
  look: () => Promise<T | null | undefined | false>,
  withinMs = 10_000,
): Promise<T> {
  for (const deadline = Date.now() + withinMs; Date.now() < deadline; ) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`not within ${withinMs / 1000} s: ${what}`);
}
