import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Claim } from './claiming.ts';
import { FRESH, MOST_AT_ONCE, PROMPT_MS } from './pace.ts';
import { type Flight, makeTraffic, type Traffic } from './traffic.ts';

const OK = { outcome: { kind: 'ok', status: 200, answer: '', retryAfter: null }, durationMs: 5 } as const;
const LONG = { ...OK, durationMs: PROMPT_MS } as const;
const DOWN = { outcome: { kind: 'refused', status: null, answer: '', retryAfter: null }, durationMs: 5 } as const;

function claims(destinationId: string, count: number): Claim[] {
  return Array.from({ length: count }, (_, at) => ({
    app: 1,
    destinationId,
    notificationId: String(at),
    round: 0,
    attempt: 1,
  }));
}

function depart(traffic: Traffic, destinationId: string, count: number): readonly Flight[] {
  return traffic.depart(traffic.openings(0), claims(destinationId, count)).flights;
}

function land(
  traffic: Traffic,
  flights: readonly Flight[],
  settlement: typeof OK | typeof LONG | typeof DOWN,
): boolean {
  let more = false;
  for (const flight of flights) {
    traffic.ended(flight, settlement, 0);
    more = traffic.arrive(flight) || more;
  }
  return more;
}

test('what is known to be well is not spoken of when it is idle', () => {
  const traffic = makeTraffic(128);
  const flights = depart(traffic, 'a', 2);
  const [room] = traffic.openings(0).rooms;
  assert.deepEqual(room, { destinationId: 'a', inFlight: 2, isSlow: false, free: FRESH.window - 2 });
  land(traffic, flights, OK);
  assert.deepEqual(traffic.openings(0), { rooms: [], freshRoom: FRESH.window, limit: 128, slowLimit: 128 });
});

test('one that took long has its places among the slow ones, until it answers promptly', () => {
  const traffic = makeTraffic(10);
  land(traffic, depart(traffic, 'a', 1), LONG);
  const flights = depart(traffic, 'a', 3);
  const openings = traffic.openings(0);
  assert.equal(openings.limit, 10);
  assert.equal(openings.slowLimit, 7);
  land(traffic, flights, OK);
  assert.deepEqual(traffic.openings(0).rooms, []);
});

test('one that waits for its answer is slow before the answer comes', async () => {
  const traffic = makeTraffic(4);
  const flights = depart(traffic, 'a', 4);
  assert.equal(traffic.openings(0).limit, 0);
  for (const flight of flights) flight.waitsSince = performance.now();
  assert.equal(traffic.openings(0).limit, 0);
  await delay(PROMPT_MS + 10);
  const openings = traffic.openings(0);
  assert.equal(openings.limit, 4);
  assert.equal(openings.slowLimit, 0);
});

test('all together never hold more than four times the places', async () => {
  const traffic = makeTraffic(4);
  for (const id of ['a', 'b', 'c', 'd']) {
    for (const flight of depart(traffic, id, 4)) {
      flight.bytes = 1_000;
      flight.waitsSince = performance.now() - PROMPT_MS;
    }
  }
  const { limit, slowLimit } = traffic.openings(0);
  assert.deepEqual([limit, slowLimit], [0, 0]);
});

test('large payloads leave room for fewer, and what is not known yet counts as large', () => {
  const limits = (traffic: Traffic): readonly number[] => {
    const { limit, slowLimit } = traffic.openings(0);
    return [limit, slowLimit];
  };
  const traffic = makeTraffic(4);
  const flights = ['a', 'b'].flatMap((id) => depart(traffic, id, 4));
  for (const flight of flights) flight.waitsSince = performance.now() - PROMPT_MS; // all of them are slow: no place is held
  assert.deepEqual(limits(traffic), [0, 0]);
  for (const flight of flights.slice(0, 2)) flight.bytes = 400_000;
  assert.deepEqual(limits(traffic), [1, 0]);
  for (const flight of flights) flight.bytes = 2_000;
  assert.deepEqual(limits(traffic), [4, 0]);
  land(traffic, flights, OK);
  assert.deepEqual(limits(traffic), [4, 4]);
});

test('of too many to remember only the one that was tried longest ago is forgotten', () => {
  const traffic = makeTraffic(128);
  traffic.suspect(Array.from({ length: 10_000 }, (_, n) => String(n)));
  land(traffic, depart(traffic, '0', 1), DOWN);
  land(traffic, depart(traffic, 'one more', 1), DOWN);
  const known = new Set(traffic.openings(0).rooms.map(({ destinationId }) => destinationId));
  assert.equal(known.size, 10_000);
  assert.deepEqual(
    ['0', '1', '2', 'one more'].map((id) => known.has(id)),
    [true, false, true, true],
  );
});

test('only who was told that there may be more asks for more', () => {
  const traffic = makeTraffic(128);
  assert.equal(land(traffic, depart(traffic, 'a', FRESH.window - 1), OK), false);
  assert.equal(land(traffic, depart(traffic, 'a', FRESH.window), OK), true);
  assert.equal(land(traffic, depart(traffic, 'a', 1), OK), false);
  const small = makeTraffic(2);
  assert.equal(land(small, depart(small, 'a', 2), OK), true); // others may have been left
});

test('what failed in another life has one place, among the slow ones', () => {
  const traffic = makeTraffic(128);
  traffic.suspect(['a']);
  assert.deepEqual(traffic.openings(0).rooms, [{ destinationId: 'a', inFlight: 0, isSlow: true, free: 1 }]);
  land(traffic, depart(traffic, 'a', 1), DOWN);
  assert.equal(traffic.openings(0).rooms[0]?.free, 0);
  assert.equal(traffic.openings(60_000).rooms[0]?.free, 1);
  for (let answer = 0; answer < 5; answer++) land(traffic, depart(traffic, 'a', 1), OK);
  assert.equal(Math.max(0, ...traffic.openings(60_000).rooms.map(({ free }) => free)) <= MOST_AT_ONCE, true);
});

test('those that are down are probed when somebody asks for it', () => {
  const traffic = makeTraffic(10);
  for (let n = 0; n < 4; n++) land(traffic, depart(traffic, 'a', 1), DOWN);
  assert.equal(traffic.openings(0).rooms[0]?.free, 0);
  traffic.probe();
  assert.equal(traffic.openings(0).rooms[0]?.free, 1);
});
