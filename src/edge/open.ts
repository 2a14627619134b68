import type { IncomingMessage, ServerResponse } from 'node:http';
import { readPixel } from '../tracking/token.ts';
import type { EdgeParts } from './parts.ts';
import { stopFor } from './stops.ts';
import { readVisitor } from './visitor.ts';

/** Whatever the token or the state of the store: the reader's mail shows no broken image. */
export function answerOpen(parts: EdgeParts, req: IncomingMessage, res: ServerResponse): void {
  const { keys, spool, stops, counters, trustedProxies } = parts;
  const identity = readPixel(keys, req.url ?? '');
  if (identity === null) {
    counters.forgedOpen++;
    parts.sendPixel(res);
    return;
  }
  if (stopFor(stops, identity) !== null) {
    counters.stopped++;
    parts.sendPixel(res);
    return;
  }
  const { method, prefetch, acceptLanguage, secFetchMode, ip, userAgent } = readVisitor(req.method ?? '', req.rawHeaders, req.socket.remoteAddress ?? '', trustedProxies);
  spool.append({ identity, method, prefetch, acceptLanguage, secFetchMode, ip, userAgent }, (outcome) => {
    counters.open++;
    if (outcome !== 'durable') counters.unrecorded[outcome]++;
    parts.sendPixel(res);
  });
}
