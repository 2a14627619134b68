// A delivery goes through its stages once per attempt: claimed -> prepared -> attempted -> settled.
import type { Sql } from '../db/pool.ts';
import { wireId } from '../ids.ts';
import type { Log } from '../log.ts';
import { type Claim, claim, namesOf, readFailing } from './claiming.ts';
import type { Clock } from './clock.ts';
import { aboutOf, type Prepared, prepare } from './contents.ts';
import { makeDepartures } from './departures.ts';
import { DESTINATION_KINDS, type Destinations, type Outcome } from './destination.ts';
import { type Loop, startLoop } from './loop.ts';
import { PROMPT_MS } from './pace.ts';
import { renderPayload } from './payloads.ts';
import type { Settlement } from './pending.ts';
import { attemptsOf, decide } from './retry.ts';
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
const SUSPECTS = 5_000;

export function startDeliverer(deps: DeliverDeps): Deliverer {
  const counts = noCounts();
  const traffic = makeTraffic(deps.concurrency);
  const running = new Set<Promise<void>>();
  // Of each destination the one claimed last: what was claimed later must not leave before it because it was read faster.
  const turns = new Map<string, Promise<unknown>>();
  const departures = makeDepartures();
  const settleSoon = startSettling(deps);
  let isInformed = false;

  const run = async (): Promise<'idle'> => {
    await deps.clock.keep();
    if (!isInformed) traffic.suspect(await readFailing(deps.sql, SUSPECTS));
    isInformed = true;
    const now = deps.clock.now();
    const openings = traffic.openings(now);
    if (openings.limit + openings.slowLimit === 0) return 'idle'; // the attempt that ends next wakes us
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
    // Not awaited: the next destination's claim need not wait until this batch was read.
    const batch = prepare(deps.sql, claims, new Date(now)).then(
      (prepared) => new Map(prepared.map((one) => [one.claim, one])),
    );
    for (const [at, flight] of flights.entries()) {
      const one = claims[at];
      if (one !== undefined) start(flight, one, until, batch);
    }
    return 'idle';
  };

  const start = (flight: Flight, one: Claim, until: number, batch: Promise<ReadonlyMap<Claim, Prepared>>): void => {
    const { destinationId } = one;
    const turn = Promise.allSettled([batch, turns.get(destinationId)]);
    turns.set(destinationId, turn);
    counts.inFlight++;
    const delivery = turn
      .then(() => deliver(flight, one, until, batch))
      .finally(() => {
        counts.inFlight--;
        if (turns.get(destinationId) === turn) turns.delete(destinationId);
        running.delete(delivery);
        if (traffic.arrive(flight)) loop.wake();
      });
    running.add(delivery);
  };

  const deliver = async (
    flight: Flight,
    one: Claim,
    until: number,
    batch: Promise<ReadonlyMap<Claim, Prepared>>,
  ): Promise<void> => {
    try {
      const prepared = (await batch).get(one);
      if (prepared === undefined) return; // its destination was deleted, the delivery with it
      const departure = departures(`${one.destinationId} ${subjectOf(prepared)}`);
      await departure.turn;
      if (deps.clock.now() > until - LONGEST_ATTEMPT_MS) {
        deps.log.warn({ delivery: namesOf(one) }, 'delivery.overslept'); // another process may have it by its end
        return departure.left();
      }
      flight.waitsSince = performance.now();
      const settlement = await attempt(deps, prepared, departure.left).finally(departure.left);
      traffic.ended(flight, settlement, deps.clock.now());
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
      const drained = loop.stop().then(() => Promise.allSettled([...running]));
      await Promise.race([drained, bound]);
      clearTimeout(timer);
    },
  };
}

/** One attempt and what follows from it. Never rejects. */
async function attempt(deps: DeliverDeps, prepared: Prepared, onLeaving: () => void): Promise<Settlement> {
  const { claim, schedule } = prepared;
  const startedAt = deps.clock.now();
  const began = performance.now();
  const outcome = await send(deps, prepared, startedAt, onLeaving).catch((error: unknown): Outcome => {
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

async function send(deps: DeliverDeps, prepared: Prepared, sentAt: number, onLeaving: () => void): Promise<Outcome> {
  const { claim, kind, state, schedule } = prepared;
  if (state === null) {
    return { kind: 'gone', status: null, answer: 'what it tells of is gone', retryAfter: null };
  }
  // A claim that was lost after the last attempt is tried once more; the payload counts no further than the schedule.
  const body = renderPayload(state, Math.min(claim.attempt, attemptsOf(schedule)));
  return deps.destinations[kind].attempt({
    address: prepared.address,
    secrets: prepared.sealedSecrets.map((sealed) => deps.vault.open(sealed, secretContext(claim.destinationId))),
    id: wireId('ntf', claim.notificationId),
    body: Buffer.from(body),
    compressed: prepared.compressed,
    sentAt,
    about: aboutOf(state),
    onLeaving,
  });
}

/** Whose states must not overtake each other. */
function subjectOf({ claim, state }: Prepared): string {
  if (state === null) return claim.notificationId;
  const { messageId, grantId } = aboutOf(state);
  return messageId ?? grantId;
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
