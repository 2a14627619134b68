// A destination that hangs, is slow or is down costs the others nothing.
import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { makeNames } from '../../src/names.ts';
import type { Notify } from '../../src/notify/start.ts';
import { notifyRun, type Run, until } from '../support/notify-run.ts';
import { quietNameServer } from '../support/quiet-name-server.ts';
import { type Behaviour, hang, type Receiver, status } from '../support/receiver.ts';

const LIVE = { triggers: ['message.link_clicked'] };
const OTHERS = { triggers: ['message.opened'] };
const NO_GUARD = 1_000_000;

/** One event after the other for the live one; milliseconds from each to its arrival, ascending. */
async function delays(run: Run, notify: Notify, live: Receiver, turns: number): Promise<readonly number[]> {
  const message = await run.ground.message(['https://a.test']);
  const waited: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const before = live.deliveries.length;
    const began = performance.now();
    await run.ground.happen(message, { link: 0 });
    notify.wakeFanout();
    await live.arrived(before + 1);
    waited.push(performance.now() - began);
  }
  return waited.sort((a, b) => a - b);
}

/** Far below the time for which the others keep their places; the machine may be busy. */
function assertSmall(t: TestContext, waited: readonly number[], keptMs: number): void {
  const at = (part: number): number => waited[Math.floor(waited.length * part)] ?? 0;
  const most = waited.at(-1) ?? 0;
  t.diagnostic(`median ${at(0.5).toFixed(0)} ms, 95 % ${at(0.95).toFixed(0)} ms, most ${most.toFixed(0)} ms`);
  assert.ok(at(0.5) < keptMs * 0.1, `half within ${at(0.5)} ms`);
  assert.ok(at(0.95) < keptMs * 0.4, `95 % within ${at(0.95)} ms`);
  assert.ok(most < keptMs * 0.75, `one took ${most} ms`);
}

async function fill(run: Run, events: number): Promise<void> {
  await run.ground.setting('max_notifications_per_minute', NO_GUARD);
  await run.ground.happen(await run.ground.message(), ...Array.from({ length: events }, () => ({})));
}

function after(ms: number, behaviour: Behaviour): Behaviour {
  return (request, response) => void setTimeout(() => behaviour(request, response), ms);
}

it('two hundred destinations that hang, each with a queue, do not delay a live one', async (t) => {
  const run = await notifyRun(t);
  const { ground, start, receiver } = run;
  const dead = await receiver(hang);
  const live = await receiver();
  for (let one = 0; one < 200; one++) await ground.destination(`${dead.url}/${one}`, OTHERS);
  await ground.destination(live.url, LIVE);
  const notify = start({ attemptMs: 4_000 });
  await delays(run, notify, live, 3);
  await fill(run, 5);
  notify.wakeFanout();
  await dead.arrived(100);
  assertSmall(t, await delays(run, notify, live, 60), 4_000);
  await run.rested('delivered', 63);
  assert.ok(dead.deliveries.length >= 200, 'each of them was tried');
});

it('after a new start they are known, and are tried by one each', async (t) => {
  const run = await notifyRun(t);
  const { ground, start, receiver } = run;
  const dead = await receiver(hang);
  const live = await receiver();
  for (let one = 0; one < 40; one++) await ground.destination(`${dead.url}/${one}`, OTHERS);
  await ground.destination(live.url, LIVE);
  const clock = { ms: Date.now() };
  const first = start({ clock, attemptMs: 300 });
  await fill(run, 10);
  first.wakeFanout();
  await until('all have failed', async () => (await ground.sql`select from destination_counters`).length === 40);
  await first.stop();
  const before = dead.deliveries.length;
  clock.ms += 600_000;
  const second = start({ clock, attemptMs: 4_000 });
  await dead.arrived(before + 40);
  assertSmall(t, await delays(run, second, live, 20), 4_000);
  assert.equal(dead.deliveries.length, before + 40);
});

it('destinations that take three seconds for each answer do not use up the places of a live one', async (t) => {
  const run = await notifyRun(t);
  const { ground, start, receiver } = run;
  const slow = await receiver(after(3_000, status(200)));
  const live = await receiver();
  for (let one = 0; one < 20; one++) await ground.destination(`${slow.url}/${one}`, OTHERS);
  await ground.destination(live.url, LIVE);
  const notify = start({ concurrency: 32 });
  await fill(run, 40);
  notify.wakeFanout();
  await slow.arrived(20);
  assertSmall(t, await delays(run, notify, live, 60), 3_000);
  assert.equal(await until('every slow one has had an answer', async () => answered(run, 20)), 20);
});

async function answered(run: Run, count: number): Promise<number | null> {
  const rows = await run.ground.sql`select distinct destination_id from deliveries d
    join destinations on id = destination_id where ${OTHERS.triggers[0] ?? ''} = any(triggers)`;
  return rows.length >= count ? rows.length : null;
}

it('one that is down is probed, not hammered, and its backlog drains beside a live one when it answers', async (t) => {
  const run = await notifyRun(t);
  const { ground, start, receiver } = run;
  const down = await receiver(status(503));
  const live = await receiver();
  await ground.destination(down.url, OTHERS);
  await ground.destination(live.url, LIVE);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  await fill(run, 2_000);
  notify.wakeFanout();
  await down.arrived(4);
  const pass = async (): Promise<void> => {
    clock.ms += 2_000;
    notify.wakeDeliver();
    await new Promise((resolve) => setTimeout(resolve, 10));
  };
  for (let step = 0; step < 300; step++) await pass(); // ten minutes
  const probes = down.deliveries.length;
  t.diagnostic(`${probes} requests in ten minutes`);
  assert.ok(probes >= 10 && probes <= 22, `${probes} requests`);

  down.behave(status(200));
  while (down.deliveries.length === probes) await pass();
  const began = performance.now();
  const waited = await delays(run, notify, live, 40);
  await until(
    'the backlog has drained',
    async () =>
      (await ground.sql`select from pending_deliveries where next_attempt_at <= ${new Date(clock.ms)}`).length === 0,
    20_000,
  );
  t.diagnostic(`drained in ${(performance.now() - began).toFixed(0)} ms`);
  assertSmall(t, waited, 3_000);
  assert.ok(notify.counts.settled.delivered >= 1_950, `${notify.counts.settled.delivered} delivered`);
});

it('names nobody answers for do not delay a live one', async (t) => {
  const run = await notifyRun(t);
  const { ground, start, receiver } = run;
  const server = await run.keep(quietNameServer({ 'live.test': '127.0.0.1' }));
  const live = await receiver();
  for (let one = 0; one < 40; one++) await ground.destination(`https://dead-${one}.test/hook`, OTHERS);
  await ground.destination(live.url.replace('127.0.0.1', 'live.test'), LIVE);
  const names = makeNames({
    resolver: () => server.resolver({ timeout: 900, tries: 2 }),
    hosts: async () => '',
  });
  const notify = start({ names });
  await fill(run, 5);
  notify.wakeFanout();
  await until('they are asked for', async () => server.unanswered.size === 40);
  assertSmall(t, await delays(run, notify, live, 40), 2_700);
  const outcomes = await until('all have failed', async () => {
    const rows = await ground.sql<{ outcome: string }[]>`
      select distinct on (destination_id) outcome from attempts where outcome <> 'ok'`;
    return rows.length === 40 && rows.map(({ outcome }) => outcome);
  });
  assert.deepEqual([...new Set(outcomes)], ['dns']);
});

it('for one destination sixteen attempts at once and no more, for all together four times the places', async (t) => {
  const run = await notifyRun(t);
  const { ground, start, receiver } = run;
  const held = new Map<string, Set<() => void>>();
  const peaks = { one: 0, all: 0 };
  const target = await receiver(({ path }, response) => {
    const mine = held.get(path) ?? new Set();
    held.set(path, mine);
    const release = (): void => {
      mine.delete(release);
      response.writeHead(200).end();
    };
    mine.add(release);
    setTimeout(release, 100);
    peaks.one = Math.max(peaks.one, mine.size);
    peaks.all = Math.max(
      peaks.all,
      [...held.values()].reduce((sum, { size }) => sum + size, 0),
    );
  });
  await ground.destination(`${target.url}/alone`, OTHERS);
  const wide = start();
  await fill(run, 200);
  wide.wakeFanout();
  await run.rested('delivered', 200);
  assert.equal(peaks.one, 16);
  await wide.stop();

  peaks.all = 0;
  for (let one = 0; one < 4; one++) await ground.destination(`${target.url}/${one}`, OTHERS);
  const narrow = start({ concurrency: 8 });
  await fill(run, 50);
  narrow.wakeFanout();
  await run.rested('delivered', 450);
  t.diagnostic(`${peaks.all} at once with eight places`);
  assert.ok(peaks.one <= 16 && peaks.all >= 8 && peaks.all <= 32, `${peaks.all} at once`);
});
