// What is under way to whom, and how much more may start. Slow destinations have places of their own, so that they
// never stand in the way of prompt ones: forty that hang would else hold every place for ten seconds.
import { MAIL_PAYLOAD_BYTES } from '../tracking/mail-facts.ts';
import type { Claim, Room } from './claiming.ts';
import { FRESH, isUnremarkable, type Pace, PROMPT_MS, paceAfter, roomFor, SUSPECT, withoutWait } from './pace.ts';
import type { Settlement } from './pending.ts';

/** One claimed delivery, until it is settled. */
export interface Flight {
  readonly destinationId: string;
  /** Since when the far end has the word, by the process's clock; null while it has not. */
  waitsSince: number | null;
  /** What it keeps in memory; the most that a payload has until it is known. */
  bytes: number;
}

export interface Openings {
  readonly rooms: readonly Room[];
  readonly freshRoom: number;
  readonly limit: number;
  readonly slowLimit: number;
}

export interface Traffic {
  /** These failed when they were last tried, as far as the database knows. */
  suspect(destinationIds: readonly string[]): void;
  /** Those that are down are probed at once. */
  probe(): void;
  openings(now: number): Openings;
  /** What was claimed of these openings. Answers their flights, in the same order, and whether prompt ones had to be left. */
  depart(
    openings: Openings,
    claims: readonly Claim[],
  ): { readonly flights: readonly Flight[]; readonly isFull: boolean };
  /** An attempt has ended; it may still have to be settled. */
  ended(flight: Flight, settlement: Pick<Settlement, 'outcome' | 'durationMs'>, now: number): void;
  /** It is settled or given up. Answers whether more may be claimed in its place. */
  arrive(flight: Flight): boolean;
}

const REMEMBERED = 10_000;
/** In places of the prompt ones, for all together: those that were prompt until they hang go on holding theirs beside the rest. */
const ALL_TOGETHER = 4;
/** The largest payloads that may be under way, in places of the prompt ones: 256 MB with 128 of them. Small ones never come near it. */
const LARGEST_TOGETHER = 2;

/** `concurrency`: attempts at once to prompt destinations; slow ones have as many. */
export function makeTraffic(concurrency: number): Traffic {
  const paces = new Map<string, Pace>();
  const flights = new Map<string, Set<Flight>>();
  // Those that had as many due as they had room for.
  const hungry = new Set<string>();
  let isCrowded = false;

  const isSlow = (id: string, overdue: number): boolean => {
    if (!(paces.get(id) ?? FRESH).isPrompt) return true;
    for (const { waitsSince } of flights.get(id) ?? []) if (waitsSince !== null && waitsSince <= overdue) return true;
    return false;
  };

  return {
    suspect(destinationIds) {
      for (const id of destinationIds.slice(0, REMEMBERED)) if (!paces.has(id)) paces.set(id, SUSPECT);
    },

    probe() {
      for (const [id, pace] of paces) if (pace.notBefore > 0) paces.set(id, withoutWait(pace));
    },

    openings(now) {
      const overdue = performance.now() - PROMPT_MS;
      const known = [...new Set([...paces.keys(), ...flights.keys()])].map((destinationId) => ({
        destinationId,
        inFlight: flights.get(destinationId)?.size ?? 0,
        isSlow: isSlow(destinationId, overdue),
      }));
      const held = { prompt: 0, slow: 0 };
      for (const one of known) held[one.isSlow ? 'slow' : 'prompt'] += one.inFlight;
      let bytes = 0;
      for (const some of flights.values()) for (const one of some) bytes += one.bytes;
      const left = Math.min(
        ALL_TOGETHER * concurrency - held.prompt - held.slow,
        Math.floor(LARGEST_TOGETHER * concurrency - bytes / MAIL_PAYLOAD_BYTES),
      );
      const limit = Math.max(0, Math.min(concurrency - held.prompt, left));
      const slowLimit = Math.max(0, Math.min(concurrency - held.slow, left - limit));
      return {
        rooms: known.map((one) => {
          const room = roomFor(paces.get(one.destinationId) ?? FRESH, one.inFlight, now);
          return { ...one, free: Math.min(room, one.isSlow ? slowLimit : limit) };
        }),
        freshRoom: Math.min(roomFor(FRESH, 0, now), limit),
        limit,
        slowLimit,
      };
    },

    depart({ rooms, freshRoom, limit, slowLimit }, claims) {
      const offered = new Map(rooms.map((room) => [room.destinationId, room]));
      const taken = new Map<string, number>();
      let slow = 0;
      for (const { destinationId: id } of claims) {
        taken.set(id, (taken.get(id) ?? 0) + 1);
        if (offered.get(id)?.isSlow) slow++;
      }
      for (const id of new Set([...hungry, ...taken.keys()])) {
        const free = offered.get(id)?.free ?? freshRoom;
        if (free > 0 && (taken.get(id) ?? 0) < free) hungry.delete(id);
        else hungry.add(id);
      }
      const isFull = claims.length - slow >= limit;
      isCrowded = isFull || slow >= slowLimit;
      const departed = claims.map(
        ({ destinationId }): Flight => ({ destinationId, waitsSince: null, bytes: MAIL_PAYLOAD_BYTES }),
      );
      for (const flight of departed) {
        const others = flights.get(flight.destinationId);
        if (others === undefined) flights.set(flight.destinationId, new Set([flight]));
        else others.add(flight);
      }
      return { flights: departed, isFull };
    },

    ended(flight, { outcome, durationMs }, now) {
      const { destinationId: id } = flight;
      flight.waitsSince = null;
      const pace = paceAfter(paces.get(id) ?? FRESH, { outcome, durationMs, now });
      paces.delete(id);
      paces.set(id, pace); // as the newest
      const [oldest] = paces.keys();
      if (paces.size > REMEMBERED && oldest !== undefined) paces.delete(oldest);
    },

    arrive(flight) {
      const { destinationId: id } = flight;
      const others = flights.get(id);
      others?.delete(flight);
      const wasHungry = hungry.has(id);
      if (others?.size === 0) {
        flights.delete(id);
        const pace = paces.get(id);
        if (pace !== undefined && isUnremarkable(pace)) paces.delete(id);
      }
      return wasHungry || isCrowded;
    },
  };
}
