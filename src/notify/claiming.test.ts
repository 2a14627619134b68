import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { makeLog } from '../log.ts';
import { type Claim, type ClaimOrder, claim, readFailing } from './claiming.ts';
import { fanOut } from './fanout.ts';

const NOW = Date.now() + 60_000;

test('where the limit does not do for all, a long queue pushes no short one aside', async (t) => {
  const { ground, long, short } = await twoQueues(t);
  assert.deepEqual(counts(await claimFrom(ground, { freshRoom: 16, limit: 2 })), { [long]: 1, [short]: 1 });
  const rooms = [
    { destinationId: long, free: 15, inFlight: 1 },
    { destinationId: short, free: 4, inFlight: 0 },
  ];
  assert.deepEqual(counts(await claimFrom(ground, { rooms, limit: 1 })), { [short]: 1 });
  assert.deepEqual(counts(await claimFrom(ground, { rooms, limit: 100 })), { [long]: 15 });
});

test('slow destinations have a limit of their own', async (t) => {
  const { ground, long, short } = await twoQueues(t);
  const rooms = [{ destinationId: long, free: 16, inFlight: 0, isSlow: true }];
  assert.deepEqual(counts(await claimFrom(ground, { rooms, limit: 100 })), { [short]: 2 });
  assert.deepEqual(counts(await claimFrom(ground, { rooms, limit: 0, slowLimit: 5 })), { [long]: 5 });
});

test('claims come in the order in which the notifications were made', async (t) => {
  const { ground } = await twoQueues(t);
  const ids = (await claimFrom(ground, { freshRoom: 16, limit: 100 })).map(({ notificationId }) => notificationId);
  assert.equal(ids.length, 18);
  assert.deepEqual(ids, [...ids].sort());
});

test('what failed last is known, what answered last or is not served is not', async (t) => {
  const { ground, long } = await twoQueues(t);
  const { sql, app } = ground;
  const more = await Promise.all(
    ['well', 'better', 'paused'].map((name) => ground.destination(`https://${name}.test/hook`)),
  );
  const [well, better, paused] = more.map(({ id }) => id);
  await sql`update destinations set status = 'paused' where id = ${paused ?? null}`;
  const [early, late] = [new Date(NOW - 1000), new Date(NOW)];
  for (const [id, success, failure] of [
    [long, null, early],
    [well, late, early],
    [better, late, null],
    [paused, null, late],
  ] as const) {
    await sql`
      insert into destination_counters (app, destination_id, last_success_at, last_failure_at)
      values (${app}, ${id ?? null}, ${success}, ${failure})`;
  }
  assert.deepEqual(await readFailing(sql, 10), [long]);
});

interface TwoQueues {
  readonly ground: NotifyGround;
  /** Forty deliveries, older than those of the other. */
  readonly long: string;
  /** Two. */
  readonly short: string;
}

async function twoQueues(context: { after(release: () => Promise<void>): void }): Promise<TwoQueues> {
  const ground = await notifyGround();
  context.after(() => ground.drop());
  const { id: long } = await ground.destination('https://long.test/hook', { triggers: ['message.opened'] });
  const { id: short } = await ground.destination('https://short.test/hook', { triggers: ['message.link_clicked'] });
  const message = await ground.message(['https://a.test']);
  await ground.happen(message, ...Array.from({ length: 40 }, () => ({})));
  await ground.happen(message, { link: 0 }, { link: 0 });
  await fanOut({ sql: ground.sql, log: makeLog('error'), now: NOW - 1000 }, 500);
  return { ground, long, short };
}

async function claimFrom({ sql }: NotifyGround, order: Partial<ClaimOrder>): Promise<Claim[]> {
  return await claim(sql, {
    kinds: ['webhook'],
    freshRoom: 4,
    rooms: [],
    limit: 100,
    now: new Date(NOW),
    until: new Date(NOW + 20_000),
    ...order,
  });
}

function counts(claims: readonly Claim[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { destinationId } of claims) found[destinationId] = (found[destinationId] ?? 0) + 1;
  return found;
}
