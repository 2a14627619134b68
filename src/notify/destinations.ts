import type { GoogleSettings } from '../config.ts';
import type { SafeFetch } from '../safe-fetch.ts';
import type { Destinations } from './destination.ts';
import { makePubsub } from './destinations/pubsub.ts';
import { makeWebhook } from './destinations/webhook.ts';

export interface DestinationsDeps {
  readonly safeFetch: Pick<SafeFetch, 'request'>;
  readonly google: GoogleSettings;
}

/** Every way out there is. */
export function makeDestinations({ safeFetch, google }: DestinationsDeps): {
  readonly destinations: Destinations;
  readonly close: () => Promise<void>;
} {
  const pubsub = makePubsub({ credentialsFile: google.credentialsFile, emulator: google.pubsubEmulator });
  return {
    destinations: { webhook: makeWebhook({ safeFetch }), pubsub },
    close: () => pubsub.close(),
  };
}
