// A delivery goes through its stages once per attempt: claimed -> ready -> attempted -> settled.
import { gather } from '../db/gather.ts';
import { retrying, type Sql } from '../db/pool.ts';
import { wireId } from '../ids.ts';
import type { Log } from '../log.ts';
import { type Claim, claim, namesOf, readFailing, release } from './claiming.ts';
import type { Clock } from './clock.ts';
import { makeDepartures } from './departures.ts';
import { DESTINATION_KINDS, type DestinationKind, type Destinations, type Outcome } from './destination.ts';
import { type Loop, startLoop } from './loop.ts';
import { PROMPT_MS } from './pace.ts';
import type { Settlement } from './pending.ts';
import { makeReady, type Ready } from './ready.ts';
import { decide } from './retry.ts';
import { startSettling } from './settling.ts';
import { secretContext } from './subscriptions.ts';
import { type Flight, makeTraffic } from './traffic.ts';

export interface DeliverDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly vault: { open(sealed: Buffer, context: string): string };
  readonly destinations: Destinations;
  readonly clock: Clock;
  readonly random: () => number;
  readonly pollMs: number;
  /** Attempts at once to destinations that answer promptly; as many to slow ones, and at most four times as many in all. */
  readonly concurrency: number;
}

/** Plain numbers, only ever moved here. */
export interface DeliveryCounts {
  readonly attempts: Record<Outcome['kind'], number>;
  readonly settled: Record<Settlement['verdict']['kind'], number>;
  /** Results that came after their claim was lost. */
  late: number;
  inFlight: number;
}

export interface Deliverer {
  wake(): void;
  /** Tries destinations that are down at once, each once: somebody asked for it. */
  probe(): void;
  wakeIn(ms: number): void;
  /** Claims nothing more and waits for what is in flight; what is not settled `withinMs` is left to its claim's end. */
  stop(withinMs: number): Promise<void>;
  readonly counts: DeliveryCounts;
}

const LONGEST_ATTEMPT_MS = 10_000;
// A claim must not end while its attempt is alive.
const CLAIM_MS = 2 * LONGEST_ATTEMPT_MS;
// Whose order the far end keeps for its readers has to answer before the next one about the same thing is sent.
const DEPARTURE_MS = { webhook: 1_000, pubsub: LONGEST_ATTEMPT_MS } satisfies Record<DestinationKind, number>;
const SUSPECTS = 5_000;
/** In attempts at once: then the database has fallen behind. */
const UNSETTLED = 6;
const GIVEN_BACK = 200;
// Of a megabyte each, what is read and written down takes four times as much for a moment.
const READ_AT_ONCE = 16;

type Batch = Promise<Map<Claim, Ready>>;

export function startDeliverer(deps: DeliverDeps): Deliverer {
  const counts = noCounts();
  const traffic = makeTraffic(deps.concurrency);
  const running = new Set<Promise<void>>();
  // Of each destination the one claimed last: what was claimed later must not leave before it because it was read faster.
  const turns = new Map<string, Promise<unknown>>();
  const departures = makeDepartures();
  const settleSoon = startSettling(deps);
  const giveBack = gather<Claim, boolean>({
    atOnce: GIVEN_BACK,
    isTheirs: () => false,
    async run(claims) {
      await retrying(() => release(deps.sql, claims, deps.clock.now()));
      return claims.map(() => true);
    },
  });
  const mostUnsettled = UNSETTLED * deps.concurrency;
  let isInformed = false;
  let isLeft = false;

  const run = async (): Promise<'idle'> => {
    await deps.clock.keep();
    if (!isInformed) traffic.suspect(await readFailing(deps.sql, SUSPECTS));
    isInformed = true;
    const now = deps.clock.now();
    const openings = traffic.openings(now);
    // The attempt that ends next wakes us, or the settlement.
    if (openings.limit + openings.slowLimit === 0 || counts.inFlight >= mostUnsettled) return 'idle';
    const until = now + CLAIM_MS;
    const claims = await claim(deps.sql, {
      ...openings,
      kinds: DESTINATION_KINDS,
      now: new Date(now),
      until: new Date(until),
    });
    const { flights, isFull } = traffic.depart(openings, claims);
    if (isFull) loop.wakeIn(PROMPT_MS); // by then some of them are known to be slow
    if (claims.length === 0) return 'idle';
    // Not awaited: the next destination's claim need not wait until this one was read.
    let before: Promise<unknown> = Promise.resolve();
    for (let from = 0; from < claims.length; from += READ_AT_ONCE) {
      const some = claims.slice(from, from + READ_AT_ONCE);
      const batch = before.then(() => makeReady(deps.sql, some, new Date(now)));
      before = batch.catch(() => {}); // its own deliveries say so
      for (const [at, one] of some.entries()) {
        const flight = flights[from + at];
        if (flight !== undefined) start(flight, one, until, batch);
      }
    }
    return 'idle';
  };

  const start = (flight: Flight, one: Claim, until: number, batch: Batch): void => {
    const { destinationId } = one;
    // Without their values: each would hold those of all before it, as long as its destination is never idle.
    const turn = Promise.allSettled([batch, turns.get(destinationId)]).then(() => {});
    turns.set(destinationId, turn);
    counts.inFlight++;
    const delivery = turn
      .then(() => deliver(flight, one, until, batch))
      .finally(() => {
        counts.inFlight--;
        if (turns.get(destinationId) === turn) turns.delete(destinationId);
        running.delete(delivery);
        if (traffic.arrive(flight) || counts.inFlight + 1 === mostUnsettled) loop.wake();
      });
    running.add(delivery);
  };

  const deliver = async (flight: Flight, one: Claim, until: number, batch: Batch): Promise<void> => {
    try {
      const others = await batch;
      const ready = others.get(one);
      others.delete(one); // who hangs keeps nobody else's body
      if (ready === undefined) return; // its destination was deleted, the delivery with it
      flight.bytes = ready.content.kind === 'letter' ? ready.content.body.length : 0;
      const departure = departures(`${one.destinationId} ${subjectOf(ready)}`, longestWaitOf(ready));
      if (!(await traffic.turn(flight))) {
        departure.left();
        traffic.arrive(flight);
        await giveBack(one);
        return;
      }
      await departure.turn;
      if (isLeft) return departure.left();
      if (deps.clock.now() > until - LONGEST_ATTEMPT_MS) {
        deps.log.warn({ delivery: namesOf(one) }, 'delivery.overslept'); // another process may have it by its end
        return departure.left();
      }
      flight.waitsSince = performance.now();
      const settlement = await attempt(deps, ready, departure.left).finally(departure.left);
      traffic.ended(flight, settlement, deps.clock.now());
      if (traffic.arrive(flight)) loop.wake(); // whose place it had need not wait until it is settled
      counts.attempts[settlement.outcome.kind]++;
      if (await settleSoon(settlement)) counts.settled[settlement.verdict.kind]++;
      else counts.late++;
    } catch (error) {
      deps.log.warn({ err: error, delivery: namesOf(one) }, 'delivery.abandoned'); // its claim runs out
    }
  };

  const loop: Loop = startLoop({ name: 'deliver', run, pollMs: deps.pollMs, log: deps.log });
  return {
    wake: () => loop.wake(),
    probe() {
      traffic.probe();
      loop.wake();
    },
    wakeIn: (ms) => loop.wakeIn(ms),
    counts,
    async stop(withinMs) {
      let timer: NodeJS.Timeout | undefined;
      const bound = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, withinMs);
      });
      traffic.close();
      const drained = loop.stop().then(() => Promise.allSettled([...running]));
      await Promise.race([drained, bound]);
      clearTimeout(timer);
      isLeft = true; // what would be sent now could not be settled any more
    },
  };
}

/** One attempt and what follows from it. Never rejects. */
async function attempt(deps: DeliverDeps, ready: Ready, onLeaving: () => void): Promise<Settlement> {
  const { claim, schedule } = ready;
  const startedAt = deps.clock.now();
  const began = performance.now();
  const outcome = await send(deps, ready, startedAt, onLeaving).catch((error: unknown): Outcome => {
    deps.log.error({ err: error, delivery: namesOf(claim) }, 'delivery.failed');
    return { kind: 'unrenderable', status: null, answer: 'the notification could not be made', retryAfter: null };
  });
  const durationMs = performance.now() - began;
  const verdict = decide({ schedule, attempt: claim.attempt, outcome, now: deps.clock.now(), random: deps.random() });
  deps.log.info(
    { delivery: namesOf(claim), outcome: outcome.kind, status: outcome.status, ms: Math.round(durationMs), verdict },
    'delivery.attempted',
  );
  return { claim, outcome, verdict, startedAt: new Date(startedAt), durationMs };
}

async function send(
  deps: DeliverDeps,
  { claim, content }: Ready,
  sentAt: number,
  onLeaving: () => void,
): Promise<Outcome> {
  switch (content.kind) {
    case 'gone':
      return { kind: 'gone', status: null, answer: 'what it tells of is gone', retryAfter: null };
    case 'unrenderable':
      throw content.error;
    case 'letter':
      return await deps.destinations[content.to].attempt({
        address: content.address,
        secrets: content.sealedSecrets.map((sealed) => deps.vault.open(sealed, secretContext(claim.destinationId))),
        id: wireId('ntf', claim.notificationId),
        body: content.body,
        compressed: content.compressed,
        sentAt,
        about: content.about,
        onLeaving,
      });
  }
}

/** Whose states must not overtake each other. */
function subjectOf({ claim, content }: Ready): string {
  if (content.kind !== 'letter') return claim.notificationId;
  return content.about.messageId ?? content.about.grantId;
}

function longestWaitOf({ content }: Ready): number {
  return content.kind === 'letter' ? DEPARTURE_MS[content.to] : 0;
}

function noCounts(): DeliveryCounts {
  return {
    attempts: {
      ok: 0,
      status: 0,
      redirect: 0,
      too_large: 0,
      timeout: 0,
      refused: 0,
      dns: 0,
      tls: 0,
      blocked: 0,
      closed: 0,
      invalid_url: 0,
      gone: 0,
      unrenderable: 0,
    },
    settled: { delivered: 0, retry: 0, exhausted: 0, stopped: 0 },
    late: 0,
    inFlight: 0,
  };
}
