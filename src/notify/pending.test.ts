import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DOWN, OK, settlementOf, tried } from '../../test/support/attempts.ts';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import type { Sql } from '../db/pool.ts';
import { readCounters } from './counters.ts';
import type { Outcome } from './destination.ts';
import { settle } from './pending.ts';
import type { Verdict } from './retry.ts';
import { BUCKET_MS } from './standing.ts';

const T = Math.floor(Date.now() / BUCKET_MS) * BUCKET_MS;
const GONE: Outcome = { kind: 'gone', status: null, answer: '', retryAfter: null };

test('each attempt is counted once, in the five minutes in which it ended', async (t) => {
  const { sql, app, id } = await one(t);
  const settlements = [
    { ...settlementOf({ app, destinationId: id, at: T - 1 }), durationMs: 1 },
    settlementOf({ app, destinationId: id, at: T - 2 }),
    settlementOf({ app, destinationId: id, at: T + 1, outcome: OK }),
    settlementOf({ app, destinationId: id, at: T + 2, outcome: OK }),
  ];
  await settle(sql, settlements, new Date());
  await settle(sql, settlements, new Date()); // as after a connection that was lost before its answer
  assert.deepEqual(await health(sql), [
    [T - BUCKET_MS, 0, 1],
    [T, 2, 1],
  ]);
  const counters = (await readCounters({ sql, now: T + 10 }, app, [id])).get(id);
  assert.equal(counters?.attempts, 4);
  assert.equal(counters.lastSuccessAt?.getTime(), T + 2);
  assert.equal(counters.lastFailureAt?.getTime(), T);
  await tried(sql, { app, destinationId: id, at: T - BUCKET_MS }); // an older one does not set them back
  const later = (await readCounters({ sql, now: T + 10 }, app, [id])).get(id);
  assert.deepEqual([later?.attempts, later?.lastFailureAt?.getTime()], [5, T]);
});

test('what never left us says nothing about the destination; any refusal by it does', async (t) => {
  const { sql, app, id } = await one(t);
  const stopped: Verdict = { kind: 'stopped' };
  const unrenderable: Outcome = { ...GONE, kind: 'unrenderable' };
  await tried(sql, { app, destinationId: id, at: T, outcome: GONE, verdict: stopped });
  await tried(sql, { app, destinationId: id, at: T, outcome: unrenderable });
  assert.deepEqual(await health(sql), []);
  for (const status of [404, 410, 301]) {
    await tried(sql, { app, destinationId: id, at: T, outcome: { ...DOWN, status }, verdict: stopped });
  }
  assert.deepEqual(await health(sql), [[T, 0, 3]]);
  const counters = (await readCounters({ sql, now: T }, app, [id])).get(id);
  assert.deepEqual([counters?.attempts, counters?.lastSuccessAt], [5, null]);
});

test('deliveries are counted in the state they come to rest in, late results as attempts alone', async (t) => {
  const { sql, app, id } = await one(t);
  const verdicts: readonly Verdict[] = [
    { kind: 'delivered' },
    { kind: 'delivered' },
    { kind: 'exhausted' },
    { kind: 'stopped' },
    { kind: 'retry', at: T + 1000 },
  ];
  const settlements = verdicts.map((verdict) =>
    settlementOf({ app, destinationId: id, at: T, outcome: verdict.kind === 'delivered' ? OK : DOWN, verdict }),
  );
  for (const { claim } of settlements) await queue(sql, app, id, claim.notificationId, 1);
  const late = settlementOf({ app, destinationId: id, at: T, outcome: OK });
  await queue(sql, app, id, late.claim.notificationId, 2); // claimed again meanwhile
  const moved = await settle(sql, [...settlements, late], new Date());
  assert.equal(moved.size, 5);
  await settle(sql, [...settlements, late], new Date());
  const counters = (await readCounters({ sql, now: T }, app, [id])).get(id);
  assert.deepEqual(
    [counters?.attempts, counters?.delivered, counters?.exhausted, counters?.stopped, counters?.pending],
    [6, 2, 1, 1, 2],
  );
  assert.deepEqual(counters?.last24h, { succeeded: 3, failed: 3 });
});

test('an attempt at a destination that was deleted meanwhile leaves nothing behind in its figures', async (t) => {
  const { sql, app, id } = await one(t);
  await sql`delete from destinations where id = ${id}`;
  await tried(sql, { app, destinationId: id, at: T });
  assert.equal((await sql`select from attempts`).length, 1);
  assert.deepEqual(await health(sql), []);
  assert.equal((await sql`select from destination_counters`).length, 0);
});

test('batches of several processes count the same destinations, in any order, and lose none', async (t) => {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  const { sql, app } = ground;
  const ids: string[] = [];
  for (let at = 0; at < 8; at++) ids.push((await ground.destination(`https://receiver.test/${at}`)).id);
  const batches = Array.from({ length: 20 }, (_, turn) => {
    const order = turn % 2 === 0 ? ids : [...ids].reverse();
    return order.flatMap((destinationId) => [T, T - BUCKET_MS].map((at) => ({ app, destinationId, at })));
  });
  await Promise.all(batches.map((batch) => tried(sql, ...batch)));
  const rows = await sql<{ failed: number }[]>`select failed from destination_health`;
  assert.deepEqual(
    rows.map(({ failed }) => failed),
    Array(16).fill(20),
  );
});

async function one(t: { after(release: () => Promise<void>): void }): Promise<NotifyGround & { readonly id: string }> {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  const { id } = await ground.destination('https://receiver.test/hook');
  return { ...ground, id };
}

async function queue(
  sql: Sql,
  app: number,
  destination: string,
  notification: string,
  attempts: number,
): Promise<void> {
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, attempts, next_attempt_at)
    values (${app}, ${destination}, ${notification}, ${attempts}, now())`;
}

async function health(sql: Sql): Promise<(readonly [number, number, number])[]> {
  const rows = await sql<{ bucket: Date; succeeded: number; failed: number }[]>`
    select bucket, succeeded, failed from destination_health order by bucket`;
  return rows.map(({ bucket, succeeded, failed }) => [bucket.getTime(), succeeded, failed] as const);
}
