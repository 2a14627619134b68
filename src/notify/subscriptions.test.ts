import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testDestinations } from '../../test/support/destinations.ts';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { until } from '../../test/support/notify-run.ts';
import { everyTopic } from '../../test/support/pubsub-wire.ts';
import { type Behaviour, echoChallenge, type Receiver, startReceiver, status } from '../../test/support/receiver.ts';
import { transaction } from '../db/transaction.ts';
import { uuidTime, uuidv7, wireId } from '../ids.ts';
import { readSubscribers } from './subscribers.ts';
import {
  createSubscription,
  deleteSubscription,
  getSubscription,
  type SubscriptionDeps,
  updateSubscription,
} from './subscriptions.ts';

const TRIGGERS = ['message.opened'];
const UNVERIFIED = /unable\.verify\.webhook_url/;

interface Place {
  readonly ground: NotifyGround;
  readonly deps: SubscriptionDeps;
  receiver(everything?: Behaviour): Promise<Receiver>;
}

/** With a Pub/Sub at which every topic is ours, but for what `pubsub` says. */
async function place(t: { after(release: () => Promise<void>): void }, pubsub: Behaviour = everyTopic): Promise<Place> {
  const ground = await notifyGround();
  const receivers: Receiver[] = [];
  const receiver = async (everything: Behaviour = echoChallenge): Promise<Receiver> => {
    const started = await startReceiver();
    receivers.push(started);
    started.behave(everything, 'everything');
    return started;
  };
  const { destinations, close } = testDestinations({
    attemptMs: 5_000,
    pubsubEmulator: `127.0.0.1:${(await receiver(pubsub)).port}`,
  });
  t.after(async () => {
    await close();
    for (const one of receivers) await one.close();
    await ground.drop();
  });
  return { ground, deps: { ...ground, destinations }, receiver };
}

/** Answers as `behaviour` does once so many have come. */
function together(count: number, behaviour: Behaviour): Behaviour {
  const waiting: (() => void)[] = [];
  return (request, response) => {
    waiting.push(() => behaviour(request, response));
    if (waiting.length >= count) for (const answer of waiting.splice(0)) answer();
  };
}

test('a failing one is served: its new address is asked first, and answers for itself alone', async (t) => {
  const { ground, deps, receiver } = await place(t);
  const { id } = await ground.destination('https://receiver.test/hook', { status: 'failing' });
  const name = wireId('wh', id);
  const other = await receiver(status(404));
  await assert.rejects(updateSubscription(deps, ground.app, 'webhook', name, { address: other.url }), UNVERIFIED);
  assert.equal((await getSubscription(deps, ground.app, 'webhook', name)).address, 'https://receiver.test/hook');
  other.behave(echoChallenge, 'everything');
  const moved = await updateSubscription(deps, ground.app, 'webhook', name, { address: other.url });
  assert.deepEqual([moved.address, moved.status], [other.url, 'active']);
  assert.ok(moved.statusUpdatedAt.getTime() > Date.now() - 60_000);
  // Also where it was not called failing yet.
  await ground.sql`update destinations set status_updated_at = 'epoch'`;
  const again = await updateSubscription(deps, ground.app, 'webhook', name, { address: (await receiver()).url });
  assert.ok(again.statusUpdatedAt.getTime() > Date.now() - 60_000);
});

test('an address that came while the one before was asked is asked itself before it is served', async (t) => {
  const { ground, deps, receiver } = await place(t);
  let answer = (): void => {};
  const willing = await receiver((request, response) => {
    answer = () => echoChallenge(request, response);
  });
  const unwilling = await receiver(status(404));
  const { id } = await ground.destination(willing.url, { status: 'paused' });
  const name = wireId('wh', id);
  const activating = updateSubscription(deps, ground.app, 'webhook', name, { status: 'active' });
  const refused = assert.rejects(activating, UNVERIFIED);
  await until('the first address is asked', async () => willing.received.length === 1);
  await updateSubscription(deps, ground.app, 'webhook', name, { address: unwilling.url });
  answer();
  await refused;
  const { address, status: now } = await getSubscription(deps, ground.app, 'webhook', name);
  assert.deepEqual([address, now], [unwilling.url, 'paused']);
});

test('of two spellings of one address that are asked at the same time one is stored', async (t) => {
  const { ground, deps, receiver } = await place(t);
  const target = await receiver(together(2, echoChallenge));
  const spellings = [target.url, target.url.replace('http:', 'HTTP:')];
  const made = await Promise.allSettled(
    spellings.map((address) => createSubscription(deps, ground.app, 'webhook', { address, triggers: TRIGGERS })),
  );
  assert.deepEqual(made.map((one) => one.status).sort(), ['fulfilled', 'rejected']);
  assert.equal((await ground.sql`select from destinations`).length, 1);

  const others = await Promise.all(['a', 'b'].map((path) => ground.destination(`https://receiver.test/${path}`)));
  await ground.sql`update destinations set status = 'paused'`;
  const moved = await Promise.allSettled(
    others.map(({ id }, at) =>
      updateSubscription(deps, ground.app, 'webhook', wireId('wh', id), {
        address: `https://new.test${'/.'.repeat(at)}/`,
      }),
    ),
  );
  assert.deepEqual(moved.map((one) => one.status).sort(), ['fulfilled', 'rejected']);
});

test('of seven channels that are asked at the same time five are stored', async (t) => {
  const { ground, deps } = await place(t, together(7, everyTopic));
  const made = await Promise.allSettled(
    Array.from({ length: 7 }, (_, at) =>
      createSubscription(deps, ground.app, 'pubsub', {
        address: `projects/shop-prod/topics/mail-${at}`,
        triggers: TRIGGERS,
      }),
    ),
  );
  assert.equal(made.filter((one) => one.status === 'fulfilled').length, 5);
  assert.equal((await ground.sql`select from destinations`).length, 5);
});

test('one whose address breaks a newer rule can be paused, and moved, but not made active', async (t) => {
  const { ground, deps, receiver } = await place(t);
  const { id } = await ground.destination('https://user:secret@receiver.test/hook');
  const name = wireId('wh', id);
  const paused = await updateSubscription(deps, ground.app, 'webhook', name, { status: 'paused' });
  assert.equal(paused.status, 'paused');
  await assert.rejects(updateSubscription(deps, ground.app, 'webhook', name, { status: 'active' }), /webhook_url/);
  const address = (await receiver()).url;
  const back = await updateSubscription(deps, ground.app, 'webhook', name, { status: 'active', address });
  assert.deepEqual([back.status, back.address], ['active', address]);
});

test('one that is made active again has all that waits for it due, what is under way left alone', async (t) => {
  const { ground, deps, receiver } = await place(t);
  const { sql, app } = ground;
  const { id } = await ground.destination((await receiver()).url);
  const other = await ground.destination('https://receiver.test/other');
  const name = wireId('wh', id);
  let woken = 0;
  const told = { ...deps, onActivated: () => void woken++ };
  for (const status of ['paused', 'failed', 'failing']) {
    await sql`delete from pending_deliveries`;
    await sql`
      insert into pending_deliveries (app, destination_id, notification_id, round, attempts, next_attempt_at, claimed_until)
      select ${app}::integer, destination::uuid, gen_random_uuid(), 1, 2, now() + interval '1 hour', held::timestamptz
      from unnest(${[id, id, other.id]}::text[], ${[null, 'infinity', null]}::text[], ${[6_000, 1, 1]}::integer[])
        as queue (destination, held, count), generate_series(1, count)`;
    await sql`update destinations set status = ${status} where id = ${id}`;
    await updateSubscription(told, app, 'webhook', name, { description: 'still so' });
    await updateSubscription(told, app, 'webhook', name, { status: 'active' });
    const left = await sql<{ id: string; held: boolean; due: boolean; count: number }[]>`
      select destination_id as id, claimed_until is not null as held, next_attempt_at <= now() as due,
        count(*)::integer as count
      from pending_deliveries where round = 1 and attempts = 2 group by 1, 2, 3 order by 4 desc, 2`;
    assert.deepEqual(
      [...left],
      [
        { id, held: false, due: true, count: 6_000 },
        { id: other.id, held: false, due: false, count: 1 },
        { id, held: true, due: false, count: 1 },
      ],
      status,
    );
  }
  assert.equal(woken, 3);
  await updateSubscription(told, app, 'webhook', name, { status: 'active' });
  assert.equal(woken, 3); // it was active
});

test('one that is asked to be active again is asked whether it is there, and since when it was active stays', async (t) => {
  const { ground, deps, receiver } = await place(t);
  const { sql, app } = ground;
  const target = await receiver();
  const { id } = await ground.destination(target.url);
  const name = wireId('wh', id);
  await sql`update destinations set status_updated_at = 'epoch'`;
  const same = await updateSubscription(deps, app, 'webhook', name, { status: 'active' });
  assert.deepEqual([target.received.length, same.status, same.statusUpdatedAt.getTime()], [1, 'active', 0]);
  target.behave(status(404), 'everything');
  await assert.rejects(
    updateSubscription(deps, app, 'webhook', name, { status: 'active', description: 'x' }),
    UNVERIFIED,
  );
  assert.deepEqual(await getSubscription(deps, app, 'webhook', name), same);
  // Called failing while it was asked: the answer proves the contrary.
  target.behave((request, response) => {
    void sql`update destinations set status = 'failing', status_updated_at = now()`.then(() =>
      echoChallenge(request, response),
    );
  }, 'everything');
  const back = await updateSubscription(deps, app, 'webhook', name, { status: 'active' });
  assert.equal(back.status, 'active');
  assert.ok(back.statusUpdatedAt.getTime() > 0);
});

test('times are the database’s, whatever the clock of this process says', async (t) => {
  const { ground, deps, receiver } = await place(t);
  const { sql, app } = ground;
  const [began] = await sql<{ now: Date }[]>`select now() as now`;
  assert.ok(began);
  t.mock.timers.enable({ apis: ['Date'], now: began.now.getTime() - 90 * 24 * 3_600_000 });
  const { subscription } = await createSubscription(deps, app, 'webhook', {
    address: (await receiver()).url,
    triggers: TRIGGERS,
  });
  const paused = await updateSubscription(deps, app, 'webhook', wireId('wh', subscription.id), { status: 'pause' });
  t.mock.timers.reset();
  const times = [subscription.createdAt, subscription.updatedAt, subscription.statusUpdatedAt];
  for (const at of [...times, paused.updatedAt, paused.statusUpdatedAt]) assert.ok(at >= began.now, at.toISOString());
  assert.ok(uuidTime(subscription.id) >= began.now.getTime());
});

test('a fan-out does not wait for the queue of one that is deleted', async (t) => {
  const { ground, deps } = await place(t);
  const { sql, app } = ground;
  const { id } = await ground.destination('https://receiver.test/hook');
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
    select ${app}::integer, ${id}::uuid, gen_random_uuid(), now() from generate_series(1, 12000)`;
  const fact = { app, trigger: 'message.opened', messageId: null, sequence: null, linkCounts: null };
  const facts = [{ ...fact, happenedAt: new Date() }];
  let deleting: Promise<void> | undefined;
  await transaction(sql, async (tx) => {
    // As an attempt that is being settled: the last of the queue.
    await tx`
      select from pending_deliveries where notification_id = (
        select notification_id from pending_deliveries order by notification_id desc limit 1) for update`;
    deleting = deleteSubscription(deps, app, 'webhook', wireId('wh', id));
    await until('all but the last 5,000 are deleted', async () => (await left()) === 2_000);
    assert.deepEqual([...(await sql.begin((other) => readSubscribers(other, facts)))], []);
  });
  await deleting;
  assert.equal(await left(), 0);

  async function left(): Promise<number> {
    return (await sql`select from pending_deliveries`).length;
  }
});

test('a deletion that meets others at the same rows in another order happens all the same', async (t) => {
  const { ground, deps } = await place(t);
  const { sql, app } = ground;
  const { id } = await ground.destination('https://receiver.test/hook');
  const ids = [uuidv7(), uuidv7()].sort();
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
    select ${app}::integer, ${id}::uuid, id, now() from unnest(${ids}::uuid[]) as queued (id)`;
  let deleting: Promise<void> | undefined;
  await transaction(sql, async (tx) => {
    await tx`update pending_deliveries set attempts = 1 where notification_id = ${String(ids[1])}`;
    deleting = deleteSubscription(deps, app, 'webhook', wireId('wh', id));
    await until('the deletion waits', async () => {
      const waiting = await sql`
        select from pg_stat_activity where wait_event_type = 'Lock' and query like '%delete from pending_deliveries%'`;
      return waiting.length > 0;
    });
    await tx`update pending_deliveries set attempts = 1 where notification_id = ${String(ids[0])}`;
  });
  await deleting;
  assert.equal((await sql`select from destinations`).length + (await sql`select from pending_deliveries`).length, 0);
});
