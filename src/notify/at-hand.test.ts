// What is claimed ahead of its turn, and given back when that turn does not come.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notifyRun, payloadOf, until } from '../../test/support/notify-run.ts';
import { type Behaviour, hang, status } from '../../test/support/receiver.ts';
import { MOST_AT_ONCE } from './pace.ts';

test('what waits behind a receiver that stops answering is given back untried, and arrives as its first attempt', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  let answered = 0;
  let isWell = false;
  const fine = status(200);
  const behaviour: Behaviour = (request, response) => (isWell || answered++ < 60 ? fine : hang)(request, response);
  const target = await receiver(behaviour);
  await ground.destination(target.url);
  for (let one = 0; one < 200; one++) await ground.happen(await ground.message(), {});
  const notify = start({ attemptMs: 3_000 });
  notify.wakeFanout();
  await target.arrived(60 + MOST_AT_ONCE);
  const waiting = async (): Promise<{ readonly attempts: number; readonly claimed: boolean }[]> => [
    ...(await ground.sql<{ attempts: number; claimed: boolean }[]>`
      select attempts, claimed_until is not null as claimed from pending_deliveries`),
  ];
  await until('they are given back', async () => (await waiting()).filter((one) => one.claimed).length <= MOST_AT_ONCE);
  const rows = await waiting();
  assert.equal(rows.length, 140);
  assert.ok(rows.every(({ attempts, claimed }) => claimed || attempts === 0));
  isWell = true;
  await rested('delivered', 200 - MOST_AT_ONCE);
  const first = target.deliveries.filter((request) => payloadOf(request).webhook_delivery_attempt === 1);
  assert.equal(new Set(first.map(({ headers }) => headers['webhook-id'])).size, 200);
  assert.equal(first.length, 200);
});

test('stop gives back what waits', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  let answered = 0;
  const fine = status(200);
  const target = await receiver((request, response) => {
    if (answered++ < 60) fine(request, response);
    else setTimeout(() => fine(request, response), 400);
  });
  await ground.destination(target.url);
  for (let one = 0; one < 300; one++) await ground.happen(await ground.message(), {});
  const notify = start();
  notify.wakeFanout();
  await target.arrived(60 + MOST_AT_ONCE);
  await notify.stop();
  const rows = await ground.sql`select from pending_deliveries where claimed_until is not null or attempts > 0`;
  assert.equal(rows.length, 0);
});
