// A delivery goes through its stages once per attempt: claimed -> prepared -> attempted -> settled.
import type { Sql } from '../db/pool.ts';
import { wireId } from '../ids.ts';
import type { Log } from '../log.ts';
import type { Clock } from './clock.ts';
import { type Prepared, prepare } from './contents.ts';
import { DESTINATION_KINDS, type Destinations, type Outcome } from './destination.ts';
import { type Loop, startLoop } from './loop.ts';
import { FRESH, type Pace, paceAfter, roomFor } from './pace.ts';
import { renderPayload } from './payloads.ts';
import { type Claim, claim, namesOf, type Settlement } from './pending.ts';
import { attemptsOf, decide } from './retry.ts';
import { startSettling } from './settling.ts';
import { secretContext } from './subscriptions.ts';

export interface DeliverDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly vault: { open(sealed: Buffer, context: string): string };
  readonly destinations: Destinations;
  readonly clock: Clock;
  readonly random: () => number;
  readonly pollMs: number;
  /** Attempts at once, of all destinations together. */
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
  wakeIn(ms: number): void;
  /** Claims nothing more and waits for what is in flight; what is not settled `withinMs` is left to its claim's end. */
  stop(withinMs: number): Promise<void>;
  readonly counts: DeliveryCounts;
}

// Twice the longest attempt: a claim must not end while its attempt is alive.
const CLAIM_MS = 20_000;
const REMEMBERED = 10_000;

export function startDeliverer(deps: DeliverDeps): Deliverer {
  const counts = noCounts();
  const paces = new Map<string, Pace>();
  const inFlight = new Map<string, number>();
  const running = new Set<Promise<void>>();
  const hungry = new Set<string>();
  const settleSoon = startSettling(deps);

  const run = async (): Promise<'more' | 'idle'> => {
    await deps.clock.keep();
    const now = deps.clock.now();
    const limit = deps.concurrency - counts.inFlight;
    if (limit <= 0) return 'idle'; // the attempt that ends next wakes us
    // An idle destination in good health is claimed for like a fresh one, and grows from there.
    const slowed = [...paces].filter(([, pace]) => roomFor(pace, 0, now) < FRESH.window).map(([id]) => id);
    const rooms = [...new Set([...slowed, ...inFlight.keys()])].map((destinationId) => ({
      destinationId,
      free: roomFor(paces.get(destinationId) ?? FRESH, inFlight.get(destinationId) ?? 0, now),
    }));
    const freshRoom = roomFor(FRESH, 0, now);
    const claims = await claim(deps.sql, {
      kinds: DESTINATION_KINDS,
      freshRoom,
      rooms,
      limit,
      now: new Date(now),
      until: new Date(now + CLAIM_MS),
    });
    if (claims.length === 0) return 'idle';
    const taken = new Map<string, number>();
    for (const { destinationId } of claims) taken.set(destinationId, (taken.get(destinationId) ?? 0) + 1);
    for (const [id, count] of taken) {
      const free = rooms.find((room) => room.destinationId === id)?.free ?? freshRoom;
      if (count >= free) hungry.add(id);
      else hungry.delete(id);
    }
    // Not awaited: the next destination's claim need not wait until this batch was read.
    const batch = prepare(deps.sql, claims).then((prepared) => new Map(prepared.map((one) => [one.claim, one])));
    for (const one of claims) start(one, batch);
    return claims.length >= limit ? 'more' : 'idle';
  };

  const start = (one: Claim, batch: Promise<ReadonlyMap<Claim, Prepared>>): void => {
    const { destinationId } = one;
    counts.inFlight++;
    inFlight.set(destinationId, (inFlight.get(destinationId) ?? 0) + 1);
    const delivery = deliver(one, batch).finally(() => {
      counts.inFlight--;
      const left = (inFlight.get(destinationId) ?? 1) - 1;
      if (left > 0) inFlight.set(destinationId, left);
      else inFlight.delete(destinationId);
      running.delete(delivery);
      if (hungry.has(destinationId) || counts.inFlight + 1 >= deps.concurrency) loop.wake();
    });
    running.add(delivery);
  };

  const deliver = async (one: Claim, batch: Promise<ReadonlyMap<Claim, Prepared>>): Promise<void> => {
    try {
      const prepared = (await batch).get(one);
      if (prepared === undefined) return; // its destination was deleted, the delivery with it
      const settlement = await attempt(deps, prepared);
      const pace = paceAfter(paces.get(one.destinationId) ?? FRESH, settlement.outcome, deps.clock.now());
      if (paces.size >= REMEMBERED) paces.clear();
      paces.set(one.destinationId, pace);
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
async function attempt(deps: DeliverDeps, prepared: Prepared): Promise<Settlement> {
  const { claim, schedule } = prepared;
  const startedAt = deps.clock.now();
  const began = performance.now();
  const outcome = await send(deps, prepared, startedAt).catch((error: unknown): Outcome => {
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

async function send(deps: DeliverDeps, prepared: Prepared, sentAt: number): Promise<Outcome> {
  const { claim, kind, state, schedule } = prepared;
  if (state === null) {
    return { kind: 'gone', status: null, answer: 'what it tells of is gone', retryAfter: null };
  }
  // A claim that was lost after the last attempt is tried once more; the payload counts no further than the schedule.
  const body = renderPayload(state, Math.min(claim.attempt, attemptsOf(schedule)));
  return deps.destinations[kind].attempt({
    address: prepared.address,
    secret: deps.vault.open(prepared.sealedSecret, secretContext(claim.destinationId)),
    id: wireId('ntf', claim.notificationId),
    body: Buffer.from(body),
    compressed: prepared.compressed,
    sentAt,
  });
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
