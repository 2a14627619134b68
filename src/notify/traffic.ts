// What is under way to whom, and how much more may start. Slow destinations have places of their own, so that they
// never stand in the way of prompt ones: forty that hang would else hold every place for ten seconds.
import { MAIL_PAYLOAD_BYTES } from '../tracking/mail-facts.ts';
import type { Claim, Room } from './claiming.ts';
import { makeGate } from './gate.ts';
import {
  FRESH,
  isUnremarkable,
  type Pace,
  PROMPT_MS,
  paceAfter,
  roomFor,
  roomOf,
  SUSPECT,
  withoutWait,
} from './pace.ts';
import type { Settlement } from './pending.ts';

/** One claimed delivery, until its attempt has ended. */
export interface Flight {
  readonly destinationId: string;
  /** Since when the far end has the word, by the process's clock; null while it has not. */
  waitsSince: number | null;
  /** Whether it is one of those that are attempted, and not one at hand. */
  hasTurn: boolean;
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
  /** True once it may be attempted. False: it cannot be for now, and is better given back. */
  turn(flight: Flight): Promise<boolean>;
  /** What an attempt tells of its destination. */
  ended(flight: Flight, settlement: Pick<Settlement, 'outcome' | 'durationMs'>, now: number): void;
  /** The attempt has ended or is given up; the first time it says whether more should be claimed in its place. */
  arrive(flight: Flight): boolean;
  /** Whoever waits for a turn gets none. */
  close(): void;
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
  const gate = makeGate();
  const windowOf = (id: string): number => (paces.get(id) ?? FRESH).window;
  // Those that had as many due as they had room for.
  const hungry = new Set<string>();
  let isCrowded = false;
  // What is being claimed, at most.
  let offered: ReadonlyMap<string, number> = new Map();

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
      for (const [id, pace] of paces) if (isUnremarkable(pace) && !flights.has(id) && !hungry.has(id)) paces.delete(id);
      const overdue = performance.now() - PROMPT_MS;
      const known = [...new Set([...paces.keys(), ...flights.keys()])].map((destinationId) => ({
        destinationId,
        inFlight: flights.get(destinationId)?.size ?? 0,
        isSlow: isSlow(destinationId, overdue),
      }));
      for (const one of known) if (one.isSlow) gate.sendBack(one.destinationId); // they would outlive their claims
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
      const rooms = known.map((one) => {
        const room = roomFor(paces.get(one.destinationId) ?? FRESH, one.inFlight, now);
        return { ...one, free: Math.min(room, one.isSlow ? slowLimit : limit) };
      });
      offered = new Map(rooms.map((one) => [one.destinationId, one.free]));
      return {
        rooms,
        freshRoom: Math.min(roomFor(FRESH, 0, now), limit),
        limit,
        slowLimit,
      };
    },

    depart({ rooms, freshRoom, limit, slowLimit }, claims) {
      offered = new Map();
      const offers = new Map(rooms.map((room) => [room.destinationId, room]));
      const taken = new Map<string, number>();
      let slow = 0;
      for (const { destinationId: id } of claims) {
        taken.set(id, (taken.get(id) ?? 0) + 1);
        if (offers.get(id)?.isSlow) slow++;
      }
      for (const id of new Set([...hungry, ...taken.keys()])) {
        const free = offers.get(id)?.free ?? freshRoom;
        if (free > 0 && (taken.get(id) ?? 0) < free) hungry.delete(id);
        else hungry.add(id);
      }
      const isFull = claims.length - slow >= limit;
      isCrowded = isFull || slow >= slowLimit;
      const departed = claims.map(
        ({ destinationId }): Flight => ({ destinationId, waitsSince: null, hasTurn: false, bytes: MAIL_PAYLOAD_BYTES }),
      );
      for (const flight of departed) {
        const others = flights.get(flight.destinationId);
        if (others === undefined) flights.set(flight.destinationId, new Set([flight]));
        else others.add(flight);
      }
      return { flights: departed, isFull };
    },

    async turn(flight) {
      flight.hasTurn = await gate.enter(flight.destinationId, windowOf(flight.destinationId));
      return flight.hasTurn;
    },

    ended({ destinationId: id }, { outcome, durationMs }, now) {
      const before = paces.get(id) ?? FRESH;
      const pace = paceAfter(before, { outcome, durationMs, now });
      paces.delete(id);
      paces.set(id, pace); // as the newest
      const [oldest] = paces.keys();
      if (paces.size > REMEMBERED && oldest !== undefined) paces.delete(oldest);
      if (roomOf(pace) < roomOf(before)) gate.sendBack(id);
    },

    arrive(flight) {
      const { destinationId: id } = flight;
      const others = flights.get(id);
      if (!others?.delete(flight)) return false;
      if (flight.hasTurn) gate.leave(id, windowOf(id));
      // Half of them, because a claim costs much the same for one and for thirty.
      const isThin = others.size + (offered.get(id) ?? 0) <= roomOf(paces.get(id) ?? FRESH) / 2;
      const wasHungry = hungry.has(id) && isThin;
      if (others.size === 0) flights.delete(id);
      return wasHungry || isCrowded;
    },

    close: () => gate.sendBack(),
  };
}
