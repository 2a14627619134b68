import { readLink } from '../tracking/token.ts';
import type { Answer, Reply, TrackedRequest } from './answer.ts';
import { type Destination, destinationOf } from './destination.ts';
import {
  blockedPage,
  failedPage,
  methodPage,
  programPage,
  redirectPage,
  stoppedPage,
  tryAgainPage,
  unknownLinkPage,
  unusableLinkPage,
} from './pages.ts';
import type { EdgeParts } from './parts.ts';
import { stopFor } from './stops.ts';
import { readVisitor } from './visitor.ts';

const METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Verifies, notes, redirects. Without a database too, except for links that came damaged or without destination. */
export function answerClick(parts: EdgeParts, request: TrackedRequest, reply: Reply): void {
  if (!METHODS.has(request.method)) {
    reply(methodPage());
    return;
  }
  const link = readLink(parts.keys, request.target);
  if (link.kind === 'forged') {
    parts.counters.forgedClick++;
    reply(unknownLinkPage());
  } else if (link.kind === 'good') follow(parts, request, reply, link.identity, link.destination);
  else followRow(parts, request, reply, link.identity).catch(() => reply(failedPage()));
}

/** The identity is proven, so its row may be asked; a reader is never sent to what no MAC covers. */
async function followRow(parts: EdgeParts, request: TrackedRequest, reply: Reply, identity: Buffer): Promise<void> {
  parts.counters.lookups++;
  const row = await parts.lookUp(identity);
  if (row.kind === 'found') {
    follow(parts, request, reply, identity, row.destination);
    return;
  }
  if (row.kind === 'unavailable') parts.counters.lookupsFailed++;
  const stop = stopFor(parts.stops, identity);
  if (stop === 'stop' || stop === 'blocked') {
    parts.counters.stopped++;
    reply(stop === 'stop' ? stoppedPage(null) : blockedPage());
  } else reply(row.kind === 'missing' ? unknownLinkPage() : tryAgainPage());
}

function follow(parts: EdgeParts, request: TrackedRequest, reply: Reply, identity: Buffer, written: string): void {
  const { spool, stops, counters, trustedProxies } = parts;
  const destination = destinationOf(written);
  if (destination === null) {
    reply(unusableLinkPage(written));
    return;
  }
  const { navigates, ...visitor } = readVisitor(request, trustedProxies);
  const stop = stopFor(stops, identity);
  const blocked = stop === 'blocked' || (destination.host !== '' && stops.host(destination.host));
  if (blocked || stop !== null) {
    counters.stopped++;
    reply(blocked ? blockedPage() : stop === 'stop' ? stoppedPage(destination) : onward(destination, navigates));
    return;
  }
  spool.append({ identity, ...visitor }, (outcome) => {
    counters.click++;
    if (outcome !== 'durable') counters.unrecorded[outcome]++;
    reply(onward(destination, navigates));
  });
}

function onward({ location, written, opensProgram }: Destination, navigates: boolean): Answer {
  return opensProgram && navigates ? programPage(location, written) : redirectPage(location);
}
