// kill -9 and SIGSTOP at the worst moments: nothing is lost, nothing gets two ids, no result counts twice.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startEmbedded } from '../../src/db/embedded.ts';
import { connect, type Sql, type Tx } from '../../src/db/pool.ts';
import { makeLog } from '../../src/log.ts';
import { notifyRun, payloadOf, until } from '../support/notify-run.ts';
import { throwAwayFolder } from '../support/postgres.ts';
import { killHard } from '../support/process-tree.ts';
import { type Behaviour, hang, type Receiver, startReceiver, status } from '../support/receiver.ts';
import { freePort, startService } from '../support/service.ts';
import { sendTracked } from '../support/tracked-message.ts';

const ROUNDS = 5; // of each way
const PROGRAM = fileURLToPath(new URL('../support/notify-program.js', import.meta.url));
const posix = process.platform === 'win32' ? { skip: 'needs signals' } : {};

/** Holds what a process needs for its next step until `meanwhile` is over, and ends whoever waits for it by then. */
async function withLocked(
  sql: Sql,
  table: string,
  meanwhile: (isAwaited: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const waiting = (query: Sql | Tx) => query<{ pid: number }[]>`
    select pid from pg_locks where relation = ${table}::regclass and not granted`;
  await sql.begin(async (tx) => {
    await tx`lock table ${tx(table)} in access exclusive mode`;
    await meanwhile(async () => {
      await until(`somebody waits for ${table}`, async () => (await waiting(sql)).length > 0);
    });
    // The server would do what a dead client has asked for.
    for (const { pid } of await waiting(tx)) await tx`select pg_terminate_backend(${pid})`;
  });
}

it('twenty kills between commit and send, and between send and record', posix, async (t) => {
  const dataDir = await throwAwayFolder();
  const server = await startEmbedded({ dataDir: await throwAwayFolder(), log: makeLog('silent') });
  const sql = connect(server.connection, { max: 3 });
  const receiver = await startReceiver();
  const port = await freePort();
  const { host, username, database } = server.connection;
  const env = {
    DATABASE_URL: `postgres:///${database}?host=${encodeURIComponent(host)}&user=${username}`,
    TELLTALE_SECRET: 'a-secret-for-the-kills',
  };
  let service = await startService({ dataDir, port, env });
  t.after(async () => {
    await service.stop();
    await receiver.close();
    await sql.end({ timeout: 1 });
    await server.stop();
  });
  const subscribed = await service.api('POST', '/v3/webhooks/', {
    trigger_types: ['message.link_clicked'],
    webhook_url: receiver.url,
  });
  assert.equal(subscribed.status, 200, subscribed.text);
  const { link } = await sendTracked(service);
  const click = async (): Promise<void> => {
    assert.equal((await fetch(service.url + link, { redirect: 'manual' })).status, 302);
  };
  const kill = async (): Promise<void> => {
    killHard(service.child.pid ?? 0);
    await service.exited;
  };
  const locked = (table: string): Promise<void> =>
    withLocked(sql, table, async (isAwaited) => {
      await click();
      await isAwaited();
      await kill();
    });

  const ways: Readonly<Record<string, () => Promise<void>>> = {
    'before its fan-out is committed': () => locked('pending_deliveries'),
    'claimed, not sent': () => locked('links'),
    async 'sent, not answered'() {
      const before = receiver.deliveries.length;
      receiver.behave(hang);
      await click();
      await receiver.arrived(before + 1);
      await kill();
      receiver.behave(status(200));
    },
    'answered, not recorded': () => locked('attempts'),
  };
  let clicks = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const [way, happen] of Object.entries(ways)) {
      const before = receiver.deliveries.length;
      await happen();
      clicks++;
      const arrivedBefore = receiver.deliveries.length - before;
      assert.equal(arrivedBefore, /sent, not answered|recorded/.test(way) ? 1 : 0, way);
      // Its claim would end by itself after 20 s.
      await sql`update pending_deliveries set next_attempt_at = now() where claimed_until is not null`;
      service = await startService({ dataDir, port, env });
      await until(way, async () => {
        const [row] = await sql<{ delivered: number }[]>`select count(*)::integer as delivered from deliveries`;
        return row?.delivered === clicks;
      });
    }
  }

  const ids = (await sql<{ id: string }[]>`select id from notifications`).map(({ id }) => id);
  assert.equal(ids.length, clicks);
  const idOf = new Map<number, Set<string>>();
  for (const request of receiver.deliveries) {
    const { id, data } = payloadOf(request);
    assert.equal(request.headers['webhook-id'], id);
    const count = data.object.link_data[0]?.count ?? 0;
    idOf.set(count, (idOf.get(count) ?? new Set()).add(id));
  }
  assert.deepEqual(
    [...idOf.keys()].sort((a, b) => a - b),
    Array.from({ length: clicks }, (_, at) => at + 1),
  );
  assert.ok([...idOf.values()].every((known) => known.size === 1));
  assert.equal(receiver.deliveries.length, clicks + 2 * ROUNDS, 'twice only what had left before the kill');
  t.diagnostic(`${clicks} kills, ${receiver.deliveries.length} requests`);
});

it('a worker that was paused beyond its claim: its late result moves nothing', posix, async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const held: (() => void)[] = [];
  const target = await receiver((_request, response) => void held.push(() => response.writeHead(200).end()));
  await ground.destination(target.url);
  const paused = fork(PROGRAM, [JSON.stringify(ground.connection), ground.secret]);
  t.after(() => killHard(paused.pid ?? 0));
  await ground.happen(await ground.message(), {});
  await target.arrived(1);
  paused.kill('SIGSTOP');
  const survivor = start({ clock: { ms: Date.now() + 21_000 } });
  await target.arrived(2);
  held[1]?.();
  await rested('delivered', 1);
  paused.kill('SIGCONT');
  held[0]?.();
  const counts = await until('the late result is refused', async () => {
    paused.send('?');
    const [told] = await once(paused, 'message');
    return told.late === 1 && told;
  });
  assert.equal(counts.settled.delivered, 0);
  assert.equal(survivor.counts.settled.delivered, 1);
  assert.deepEqual(await rested('delivered', 1), [{ attempts: 2 }]);
  const kept = await ground.sql`select attempt, outcome from attempts order by attempt`;
  assert.deepEqual(
    [...kept],
    [
      { attempt: 1, outcome: 'ok' },
      { attempt: 2, outcome: 'ok' },
    ],
  );
  assert.deepEqual([...(await ground.sql`select delivered::integer from destination_counters`)], [{ delivered: 1 }]);
  const [first, second] = target.deliveries;
  assert.equal(payloadOf(first).id, payloadOf(second).id);
  assert.equal((await ground.sql`select from pending_deliveries`).length, 0);
});

it('a worker that was paused between its claim and the send sends nothing', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const target = await receiver();
  await ground.destination(target.url);
  const message = await ground.message(['https://a.test']);
  const clock = { ms: Date.now() };
  const notify = start({ clock, logLevel: 'silent' });
  await ground.sql.begin(async (tx) => {
    await ground.happen(message, { link: 0 });
    await tx`lock table links in access exclusive mode`;
    notify.wakeFanout();
    await until('it is claimed', async () => (await ground.sql`select from pending_deliveries where attempts = 1`)[0]);
    clock.ms += 11_000; // the claim has 9 s left, an attempt may take 10
  });
  clock.ms += 10_000;
  assert.deepEqual(await rested('delivered', 1), [{ attempts: 2 }]);
  assert.deepEqual(
    target.deliveries.map((request) => payloadOf(request).webhook_delivery_attempt),
    [2],
  );
});

it('two workers on one database never make the same attempt', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const { sql } = ground;
  const answers: readonly Behaviour[] = [
    status(200),
    status(503),
    status(500),
    (_request, response) => response.destroy(),
  ];
  const target: Receiver = await receiver((request, response) =>
    (answers[Math.floor(Math.random() * answers.length)] ?? hang)(request, response),
  );
  for (let one = 0; one < 4; one++) await ground.destination(`${target.url}/${one}`);
  const clock = { ms: Date.now() };
  const both = [start({ clock }), start({ clock })];
  await ground.happen(await ground.message(), ...Array.from({ length: 15 }, () => ({})));
  for (const one of both) one.wakeFanout();
  await until(
    'all have come to rest',
    async () => {
      if (both.every(({ counts }) => counts.inFlight === 0)) clock.ms += 600_000;
      for (const one of both) one.wakeDeliver();
      return (await sql`select from deliveries`).length === 60;
    },
    30_000,
  );
  const sent = target.deliveries.map((request) => {
    const { id, webhook_delivery_attempt: attempt } = payloadOf(request);
    return `${request.path} ${id} ${attempt}`;
  });
  assert.equal(new Set(sent).size, sent.length);
  await until('every attempt is kept', async () => (await sql`select from attempts`).length === sent.length);
  const [first, second] = both.map(({ counts }) =>
    Object.values(counts.attempts).reduce((sum, count) => sum + count, 0),
  );
  t.diagnostic(`${sent.length} attempts, ${first} by one and ${second} by the other`);
  assert.ok(first !== undefined && second !== undefined && first > 0 && second > 0);
});
