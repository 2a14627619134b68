import type { IncomingMessage, ServerResponse } from 'node:http';
import { readLink } from '../tracking/token.ts';
import { type Destination, destinationOf } from './destination.ts';
import {
  blockedPage,
  methodPage,
  type Page,
  programPage,
  redirectPage,
  stoppedPage,
  tryAgainPage,
  unknownLinkPage,
  unusableLinkPage,
} from './pages.ts';
import type { EdgeParts } from './parts.ts';
import { stopFor } from './stops.ts';
import { readVisitor, type Visitor } from './visitor.ts';

/** Verifies, notes, redirects. Without a database too, except for links that came damaged or without destination. */
export function answerClick(parts: EdgeParts, req: IncomingMessage, res: ServerResponse): void {
  const { method } = req;
  if (method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS') {
    parts.sendPage(res, methodPage());
    return;
  }
  const link = readLink(parts.keys, req.url ?? '');
  if (link.kind === 'forged') {
    parts.counters.forgedClick++;
    parts.sendPage(res, unknownLinkPage());
    return;
  }
  // The address of the peer is gone once its socket is: it is read now, not after the look-up.
  const visitor = readVisitor(method, req.rawHeaders, req.socket.remoteAddress ?? '', parts.trustedProxies);
  if (link.kind === 'good') follow(parts, res, visitor, link.identity, link.destination);
  else void followRow(parts, res, visitor, link.identity);
}

/** The identity is proven, so its row may be asked; a reader is never sent to what no MAC covers. */
async function followRow(parts: EdgeParts, res: ServerResponse, visitor: Visitor, identity: Buffer): Promise<void> {
  parts.counters.lookups++;
  const row = await parts.lookUp(identity);
  if (row.kind === 'found') {
    follow(parts, res, visitor, identity, row.destination);
    return;
  }
  if (row.kind === 'unavailable') parts.counters.lookupsFailed++;
  if (stopFor(parts.stops, identity) === 'stop') {
    parts.counters.stopped++;
    parts.sendPage(res, stoppedPage(null));
  } else parts.sendPage(res, row.kind === 'missing' ? unknownLinkPage() : tryAgainPage());
}

function follow(parts: EdgeParts, res: ServerResponse, visitor: Visitor, identity: Buffer, written: string): void {
  const { spool, stops, counters } = parts;
  const destination = destinationOf(written);
  if (destination === null) {
    parts.sendPage(res, unusableLinkPage(written));
    return;
  }
  const stop = stopFor(stops, identity);
  const blocked = stop === 'blocked' || (destination.host !== '' && stops.host(destination.host));
  if (blocked || stop !== null) {
    counters.stopped++;
    const answer = blocked ? blockedPage() : stop === 'stop' ? stoppedPage(destination) : onward(destination, visitor);
    parts.sendPage(res, answer);
    return;
  }
  const { method, prefetch, acceptLanguage, secFetchMode, ip, userAgent } = visitor;
  spool.append({ identity, method, prefetch, acceptLanguage, secFetchMode, ip, userAgent }, (outcome) => {
    counters.click++;
    if (outcome !== 'durable') counters.unrecorded[outcome]++;
    parts.sendPage(res, onward(destination, visitor));
  });
}

function onward({ location, written, opensProgram }: Destination, visitor: Visitor): Page {
  return opensProgram && visitor.navigates ? programPage(location, written) : redirectPage(location);
}
