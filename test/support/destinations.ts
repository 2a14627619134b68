// The real ways out for notifications, towards this machine.
import { parseRanges } from '../../src/addresses.ts';
import type { Names } from '../../src/names.ts';
import type { Destinations } from '../../src/notify/destination.ts';
import { makePubsub } from '../../src/notify/destinations/pubsub.ts';
import { makeWebhook } from '../../src/notify/destinations/webhook.ts';
import { makeSafeFetch } from '../../src/safe-fetch.ts';

export interface TestDestinationsOptions {
  readonly attemptMs?: number;
  readonly allowLoopback?: boolean;
  readonly names?: Names;
  /** `host:port` of what answers for Pub/Sub. */
  readonly pubsubEmulator?: string | null;
}

export function testDestinations(options: TestDestinationsOptions = {}): {
  readonly destinations: Destinations;
  close(): Promise<void>;
} {
  const { attemptMs = 10_000, allowLoopback = true, names, pubsubEmulator = null } = options;
  const safeFetch = makeSafeFetch({
    allowLoopback,
    allowPrivateTargets: parseRanges(''),
    ...(names === undefined ? {} : { names }),
  });
  const pubsub = makePubsub({ credentialsFile: null, emulator: pubsubEmulator });
  return {
    destinations: { webhook: makeWebhook({ safeFetch, deadlineMs: attemptMs }), pubsub },
    async close() {
      await safeFetch.close();
      await pubsub.close();
    },
  };
}
