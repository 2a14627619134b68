// What was held back goes out when it is asked for, as it would have then, and pushes nobody aside.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromWireId } from '../../src/ids.ts';
import { listDeliveries, readDelivery } from '../../src/notify/delivery-list.ts';
import { replay, retryDelivery } from '../../src/notify/replay.ts';
import { notifyRun, payloadOf, until } from '../support/notify-run.ts';
import { rest } from '../support/resting.ts';

test('events of a pause arrive on replay, once each, and one that was delivered arrives again on retry', async (t) => {
  const { ground, start, receiver, rested, fannedOut } = await notifyRun(t);
  const { sql, app } = ground;
  const far = await receiver();
  const { id: hook } = await ground.destination(far.url, { status: 'paused' });
  const notify = start();
  const deps = { sql, onDeliveries: () => notify.wakeDeliver() };
  const message = await ground.message([], 'offer');
  for (let event = 0; event < 10; event++) await ground.happen(message, {});
  notify.wakeFanout();
  await fannedOut();
  await sql`update destinations set status = 'active' where id = ${hook}`;
  const answer = await replay(deps, app, hook, { since: Date.now() - 60_000 });
  assert.ok(answer.kind === 'replayed' && answer.queued === 10);
  await rested('delivered', 10);
  const told = far.deliveries.map((request) => {
    const { data, webhook_delivery_attempt: attempt } = payloadOf(request);
    return [data.object.message_data.count, attempt, request.headers['webhook-id'] === payloadOf(request).id];
  });
  assert.deepEqual(
    told.sort(([a], [b]) => Number(a) - Number(b)),
    Array.from({ length: 10 }, (_, index) => [index + 1, 1, true]),
  );
  assert.deepEqual((await listDeliveries(sql, app, hook, { limit: 50, state: 'held' })).items, []);

  const name = String(far.deliveries[3]?.headers['webhook-id']);
  const id = fromWireId('ntf', name) ?? '';
  assert.deepEqual(await retryDelivery(deps, app, hook, id), { kind: 'queued' });
  const [again] = (await far.arrived(11)).slice(10);
  assert.equal(again?.headers['webhook-id'], name);
  assert.deepEqual(payloadOf(again), payloadOf(far.deliveries[3]));
  const found = await until('it rests again', async () => {
    const one = await readDelivery(sql, app, hook, id);
    return one?.delivery.state === 'delivered' ? one : null;
  });
  assert.equal(found.delivery.round, 2); // it was held in round 0
  assert.deepEqual(
    found.attempts.map(({ round, attempt, outcome, status }) => ({ round, attempt, outcome, status })),
    [1, 2].map((round) => ({ round, attempt: 1, outcome: 'ok', status: 200 })),
  );
});

test('a large replay to a slow receiver holds up no other destination', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const { sql, app } = ground;
  const slow = await receiver((_request, response) => setTimeout(() => response.end(), 200));
  const live = await receiver();
  const { id: hook } = await ground.destination(slow.url, { triggers: ['grant.expired'] });
  await ground.destination(live.url);
  await rest(
    ground,
    hook,
    Array.from({ length: 20_000 }, () => ({})),
  );
  const notify = start();
  const message = await ground.message();
  const replaying = replay({ sql, onDeliveries: () => notify.wakeDeliver() }, app, hook, { since: 0 });
  const waits: number[] = [];
  for (let event = 0; event < 20; event++) {
    const at = Date.now();
    await ground.happen(message, {});
    notify.wakeFanout();
    const arrived = await live.arrived(event + 1);
    waits.push((arrived[event]?.at ?? at) - at);
  }
  const answer = await replaying;
  assert.ok(answer.kind === 'replayed' && answer.queued === 20_000);
  await slow.arrived(1);
  waits.sort((a, b) => a - b);
  t.diagnostic(`live receiver during the replay: median ${waits[10]} ms, slowest ${waits[19]} ms`);
  assert.ok(Number(waits[19]) < 2_000, waits.join(' '));
});
