import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { parsePublicUrl, type SafeFetch } from '../../safe-fetch.ts';
import { challenge } from '../challenge.ts';
import { type Destination, toOutcome } from '../destination.ts';
import { signatureHeaders } from '../sign.ts';

const DEADLINE_MS = 10_000; // the page: "return 200 OK within 10 seconds"
const ANSWER_BYTES = 4_096;
const compress = promisify(gzip);

export interface WebhookDeps {
  readonly safeFetch: Pick<SafeFetch, 'request'>;
  readonly deadlineMs?: number;
}

export function makeWebhook({ safeFetch, deadlineMs = DEADLINE_MS }: WebhookDeps): Destination {
  return {
    check(address) {
      const url = parsePublicUrl(address);
      return typeof url === 'object' ? url : { normal: url };
    },
    async verify(address) {
      const url = parsePublicUrl(address);
      return typeof url === 'object' ? url.problem : await challenge({ safeFetch, deadlineMs }, url);
    },
    async attempt(parcel) {
      const url = parsePublicUrl(parcel.address);
      if (typeof url === 'object') return toOutcome({ kind: 'invalid_url', detail: `the URL ${url.problem}` });
      const body = parcel.compressed ? await compress(parcel.body) : parcel.body;
      const timestamp = Math.floor(parcel.sentAt / 1000);
      const outcome = await safeFetch.request(url, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json', // exactly: receivers compare
          'User-Agent': 'Telltale',
          ...(parcel.compressed ? { 'Content-Encoding': 'gzip' } : {}),
          ...signatureHeaders(parcel.secrets, { id: parcel.id, body, timestamp }),
        },
        body,
        deadlineMs,
        maxAnswerBytes: ANSWER_BYTES,
        ...(parcel.onLeaving === undefined ? {} : { onLeaving: parcel.onLeaving }),
      });
      return toOutcome(outcome);
    },
  };
}
