import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OK, tried } from '../../test/support/attempts.ts';
import { notifyGround } from '../../test/support/notify-ground.ts';
import { uuidv7 } from '../ids.ts';
import { COUNTED_TO, readCounters } from './counters.ts';
import { BUCKET_MS } from './standing.ts';

const NOW = Math.floor(Date.now() / BUCKET_MS) * BUCKET_MS;
const HOUR_MS = 3_600_000;

test('a destination that was never tried has figures too, and an application sees its own alone', async (t) => {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  const { sql, app } = ground;
  const { id } = await ground.destination('https://receiver.test/a');
  const other = await ground.destination('https://receiver.test/b');
  await tried(sql, { app, destinationId: other.id, at: NOW, outcome: OK });
  const none = {
    attempts: 0,
    delivered: 0,
    exhausted: 0,
    stopped: 0,
    pending: 0,
    held: 0,
    last24h: { succeeded: 0, failed: 0 },
    lastSuccessAt: null,
    lastFailureAt: null,
  };
  const read = await readCounters({ sql, now: NOW }, app, [id, other.id, id]);
  assert.deepEqual([...read.keys()].sort(), [id, other.id].sort());
  assert.deepEqual(read.get(id), none);
  assert.equal(read.get(other.id)?.attempts, 1);
  assert.deepEqual((await readCounters({ sql, now: NOW }, app + 1, [other.id])).get(other.id), none);
  assert.equal((await readCounters({ sql, now: NOW }, app, [])).size, 0);
});

test('the last 24 hours are those; pending and held are counted no further than 10,000', async (t) => {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  const { sql, app } = ground;
  const { id } = await ground.destination('https://receiver.test/a');
  const other = await ground.destination('https://receiver.test/b');
  const at = (hours: number): { app: number; destinationId: string; at: number } => ({
    app,
    destinationId: id,
    at: NOW - hours * HOUR_MS,
  });
  await tried(sql, at(0), at(1), { ...at(23), outcome: OK }, at(24), at(30));
  const ids = Array.from({ length: COUNTED_TO + 5 }, () => uuidv7());
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
    select ${app}, ${id}, unnest(${ids}::uuid[]), now()`;
  await sql`
    insert into deliveries (app, destination_id, notification_id, state, attempts)
    select ${app}, ${id}, unnest(${ids}::uuid[]), 'held', 0`;
  const [held, exhausted, delivered] = [uuidv7(), uuidv7(), uuidv7()];
  await sql`
    insert into deliveries (app, destination_id, notification_id, state, attempts)
    values (${app}, ${other.id}, ${held}, 'held', 0), (${app}, ${other.id}, ${exhausted}, 'exhausted', 8),
      (${app}, ${other.id}, ${delivered}, 'delivered', 1)`;
  const read = await readCounters({ sql, now: NOW }, app, [id, other.id]);
  const [first, second] = [read.get(id), read.get(other.id)];
  assert.deepEqual(first?.last24h, { succeeded: 1, failed: 2 });
  assert.deepEqual([first?.pending, first?.held], [COUNTED_TO, COUNTED_TO]);
  assert.deepEqual([second?.pending, second?.held], [0, 1]);
});
