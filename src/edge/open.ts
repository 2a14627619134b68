import { readPixel } from '../tracking/token.ts';
import { PIXEL, type Reply, type TrackedRequest } from './answer.ts';
import type { EdgeParts } from './parts.ts';
import { stopFor } from './stops.ts';
import { readVisitor } from './visitor.ts';

/** Whatever the token or the state of the store: the reader's mail shows no broken image. */
export function answerOpen(parts: EdgeParts, request: TrackedRequest, reply: Reply): void {
  const { keys, spool, stops, counters, trustedProxies } = parts;
  const identity = readPixel(keys, request.target);
  if (identity === null) {
    counters.forgedOpen++;
    reply(PIXEL);
    return;
  }
  if (stopFor(stops, identity) !== null) {
    counters.stopped++;
    reply(PIXEL);
    return;
  }
  const { method, prefetch, acceptLanguage, secFetchMode, ip, userAgent } = readVisitor(request, trustedProxies);
  spool.append({ identity, method, prefetch, acceptLanguage, secFetchMode, ip, userAgent }, (outcome) => {
    counters.open++;
    if (outcome !== 'durable') counters.unrecorded[outcome]++;
    reply(PIXEL);
  });
}
