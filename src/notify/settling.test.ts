import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { uuidv7 } from '../ids.ts';
import { makeLog } from '../log.ts';
import { type Claim, claim } from './claiming.ts';
import { fanOut } from './fanout.ts';
import type { Settlement } from './pending.ts';
import { startSettling } from './settling.ts';

const LATER_MS = 60_000;
const YEAR_MS = 365 * 24 * 3_600_000;

test('a settlement that has no place costs the others nothing, and its delivery comes to rest', async (t) => {
  const ground = await waiting(5);
  t.after(() => ground.drop());
  const { sql, app } = ground;
  const [destination] = await sql`select id from destinations`;
  const pruned = [uuidv7(Date.now() - YEAR_MS), uuidv7(Date.now() - YEAR_MS)];
  for (const id of pruned) {
    await sql`
      insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
      values (${app}, ${destination?.id}, ${id}, now())`;
  }
  const claims = await claimAll(ground);
  assert.equal(claims.length, 7);
  const told: unknown[] = [];
  const settleSoon = startSettling({
    sql,
    clock: Date,
    log: { info: (...line: unknown[]) => told.push(line[1]), error: (...line: unknown[]) => told.push(line[1]) },
  });
  const [gone, failed] = pruned;
  const moved = await Promise.all(
    claims.map((one) => {
      if (one.notificationId === gone) return settleSoon(settlement(one, 'gone'));
      return settleSoon(settlement(one, one.notificationId === failed ? 'status' : 'ok'));
    }),
  );
  assert.deepEqual(moved, Array(7).fill(true));
  assert.deepEqual(told, ['delivery.unrecorded', 'delivery.unrecorded']);
  assert.equal((await sql`select from deliveries where state = 'delivered'`).length, 5);
  const left = await sql`select notification_id, claimed_until from pending_deliveries`;
  assert.deepEqual([...left], [{ notification_id: failed, claimed_until: null }]); // it has an attempt left
});

test('a delivery that was attempted too often to be counted stops no other', async (t) => {
  const ground = await waiting(2);
  t.after(() => ground.drop());
  await ground.sql`
    update pending_deliveries set attempts = 32767
    where notification_id = (select id from notifications where sequence = 0)`;
  const claims = await claimAll(ground);
  assert.deepEqual(claims.map(({ attempt }) => attempt).sort(), [1, 32767]);
});

test('a second round keeps the log of the first, and counts its attempts anew', async (t) => {
  const ground = await waiting(1);
  t.after(() => ground.drop());
  const { sql } = ground;
  const settleSoon = startSettling({ sql, clock: Date, log: makeLog('error') });
  const [first] = await claimAll(ground);
  assert.ok(first);
  assert.ok(await settleSoon(settlement(first, 'ok')));
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, round, next_attempt_at)
    select app, destination_id, notification_id, round + 1, now() from deliveries`;
  const [again] = await claimAll(ground);
  assert.ok(again);
  assert.deepEqual([again.round, again.attempt], [1, 1]);
  assert.equal(await settleSoon(settlement(first, 'ok')), false); // the same attempt number of the other round
  assert.ok(await settleSoon(settlement(again, 'gone')));
  const log = await sql`select round, attempt, outcome from attempts order by round`;
  assert.deepEqual(
    [...log],
    [
      { round: 0, attempt: 1, outcome: 'ok' },
      { round: 1, attempt: 1, outcome: 'gone' },
    ],
  );
  assert.deepEqual([...(await sql`select state, round from deliveries`)], [{ state: 'stopped', round: 1 }]);
});

test('a result that comes after the pool was closed is given up at once', async (t) => {
  const ground = await waiting(1);
  t.after(() => ground.drop());
  const [one] = await claimAll(ground);
  assert.ok(one);
  const settleSoon = startSettling({ sql: ground.sql, clock: Date, log: makeLog('error') });
  await ground.sql.end();
  const began = performance.now();
  await assert.rejects(settleSoon(settlement(one, 'ok')), /the database was left/);
  assert.ok(performance.now() - began < 1_000);
});

/** So many deliveries of one destination, due. */
async function waiting(count: number): Promise<NotifyGround> {
  const ground = await notifyGround();
  await ground.destination('https://receiver.test/hook');
  await ground.happen(await ground.message(), ...Array.from({ length: count }, () => ({})));
  await fanOut({ sql: ground.sql, log: makeLog('error'), now: Date.now() }, 500);
  return ground;
}

async function claimAll({ sql }: NotifyGround): Promise<Claim[]> {
  const now = Date.now() + LATER_MS;
  return await claim(sql, {
    kinds: ['webhook'],
    freshRoom: 100,
    rooms: [],
    limit: 100,
    now: new Date(now),
    until: new Date(now + LATER_MS),
  });
}

function settlement(one: Claim, kind: 'ok' | 'gone' | 'status'): Settlement {
  const verdicts = {
    ok: { kind: 'delivered' },
    gone: { kind: 'stopped' },
    status: { kind: 'retry', at: Date.now() + LATER_MS },
  } as const;
  return {
    claim: one,
    outcome: { kind, status: null, answer: '', retryAfter: null },
    verdict: verdicts[kind],
    startedAt: new Date(),
    durationMs: 1,
  };
}
