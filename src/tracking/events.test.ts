import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { addMessages, addOwner, ledgerOf, makeHit, type Owner, prepareLedger } from '../../test/support/recording.ts';
import { type Connection, connect, type Sql } from '../db/pool.ts';
import { putStop } from '../db/stops.ts';
import { uuidv7 } from '../ids.ts';
import { failureOf } from './failure.ts';
import type { Hit } from './hit.ts';
import { type BatchResult, hitBatches } from './hit-batch.ts';

let sql: Sql;
let connection: Connection;
let drop: () => Promise<void>;
let owner: Owner;

before(async () => {
  ({ sql, connection, drop } = await testDatabase(prepareLedger));
});
after(() => drop());
beforeEach(async () => {
  owner = await addOwner(sql);
});

function record(...hits: readonly Hit[]): Promise<BatchResult> {
  return hitBatches(sql).record(hits, Date.now());
}

async function message(links = 0): Promise<string> {
  const [id = ''] = await addMessages(sql, owner, 1, links);
  return id;
}

const NOTHING = { counted: 0, uncounted: 0, duplicates: 0, dropped: 0, quarantined: 0 };

interface FactRow {
  readonly trigger: string;
  readonly sequence: number;
  readonly link_counts: number[] | null;
  readonly happened_at: Date;
}

async function factsOf(id: string): Promise<FactRow[]> {
  const rows = await sql<FactRow[]>`
    select trigger, sequence, link_counts, happened_at from outbox where message_id = ${id} order by position`;
  return [...rows];
}

test('events are numbered from 0 in order per trigger, and facts carry the counts up to and including them', async () => {
  const id = await message(3);
  const hits = [
    makeHit(owner, id, { link: 2 }),
    makeHit(owner, id),
    makeHit(owner, id, { link: 0 }),
    makeHit(owner, id),
    makeHit(owner, id, { link: 2 }),
  ];
  assert.deepEqual(await record(...hits.slice(0, 2)), { ...NOTHING, counted: 2 });
  assert.deepEqual(await record(...hits.slice(2)), { ...NOTHING, counted: 3 });
  const rows = await ledgerOf(sql, id);
  assert.deepEqual(
    rows.map(({ trigger, sequence, link, id: event }) => [
      trigger,
      sequence,
      link,
      hits.findIndex((hit) => hit.id === event),
    ]),
    [
      ['message.opened', 0, null, 1],
      ['message.opened', 1, null, 3],
      ['message.link_clicked', 0, 2, 0],
      ['message.link_clicked', 1, 0, 2],
      ['message.link_clicked', 2, 2, 4],
    ],
  );
  assert.deepEqual(
    (await factsOf(id)).map(({ trigger, sequence, link_counts }) => [trigger, sequence, link_counts]),
    [
      ['message.link_clicked', 0, [0, 0, 1]],
      ['message.opened', 0, null],
      ['message.link_clicked', 1, [1, 0, 1]],
      ['message.opened', 1, null],
      ['message.link_clicked', 2, [1, 0, 2]],
    ],
  );
  const [opened, clicked] = await sql`
    select count, link_counts, first_at, last_at from counters where message_id = ${id} order by trigger`;
  assert.deepEqual(opened, { count: 2, link_counts: null, first_at: hits[1]?.at, last_at: hits[3]?.at });
  assert.deepEqual(clicked, { count: 3, link_counts: [1, 0, 2], first_at: hits[0]?.at, last_at: hits[4]?.at });
});

test('a hit read again is dropped, also twice in one batch, and what it was is kept', async () => {
  const id = await message(1);
  const open = makeHit(owner, id);
  const head = makeHit(owner, id, { method: 'HEAD' });
  assert.deepEqual(await record(open, head, open), { ...NOTHING, counted: 1, uncounted: 1, duplicates: 1 });
  const next = makeHit(owner, id);
  assert.deepEqual(await record(open, next, head), { ...NOTHING, counted: 1, duplicates: 2 });
  assert.deepEqual(
    (await ledgerOf(sql, id)).map((row) => [row.id, row.sequence]),
    [
      [open.id, 0],
      [next.id, 1],
      [head.id, null],
    ],
  );
  assert.equal((await factsOf(id)).length, 2);
});

test('HEAD, OPTIONS and prefetches are kept with their class but get no number and no fact', async () => {
  const id = await message(1);
  const result = await record(
    makeHit(owner, id, { method: 'HEAD' }),
    makeHit(owner, id, { method: 'OPTIONS', link: 0 }),
    makeHit(owner, id, { prefetch: true }),
  );
  assert.deepEqual(result, { ...NOTHING, uncounted: 3 });
  const rows = await ledgerOf(sql, id);
  assert.ok(rows.every((row) => row.sequence === null && row.class === 'machine'));
  assert.deepEqual(rows.flatMap((row) => row.reasons).sort(), ['method_head', 'method_options', 'prefetch']);
  assert.deepEqual(await factsOf(id), []);
  assert.equal((await sql`select from counters where message_id = ${id}`).length, 0);
});

test('hits of a deleted grant leave no trace; of an expired one they count', async () => {
  const id = await message();
  await sql`update grants set state = 'expired' where serial = ${owner.grant}`;
  assert.deepEqual(await record(makeHit(owner, id)), { ...NOTHING, counted: 1 });
  await sql`update grants set state = 'deleted', deleted_at = now() where serial = ${owner.grant}`;
  const erased = makeHit(owner, uuidv7());
  assert.deepEqual(await record(makeHit(owner, id), makeHit(owner, id, { method: 'HEAD' }), erased), {
    ...NOTHING,
    dropped: 3,
  });
  assert.equal((await ledgerOf(sql, id)).length, 1);
  assert.equal((await sql`select from quarantine where id = ${erased.id}`).length, 0);
});

test('a stop whose grant is gone for good drops, too', async () => {
  const id = await message();
  const gone = { ...owner, grant: 2_000_000_000 };
  await sql.begin((tx) =>
    putStop(tx, { app: owner.app, kind: 'grant', subject: String(gone.grant), action: 'forward' }),
  );
  assert.deepEqual(await record(makeHit(gone, id)), { ...NOTHING, dropped: 1 });
});

test('stops are looked up again in the database: hits of a blocked message or stopped grant do not count', async () => {
  const id = await message();
  const other = await message();
  await sql.begin((tx) => putStop(tx, { app: owner.app, kind: 'message', subject: id, action: 'stop' }));
  assert.deepEqual(await record(makeHit(owner, id), makeHit(owner, other)), { ...NOTHING, counted: 1, uncounted: 1 });
  assert.deepEqual((await ledgerOf(sql, id))[0]?.reasons, ['message_blocked']);
  await sql.begin((tx) => putStop(tx, { app: owner.app, kind: 'grant', subject: String(owner.grant), action: 'stop' }));
  assert.deepEqual(await record(makeHit(owner, other)), { ...NOTHING, uncounted: 1 });
  assert.deepEqual((await ledgerOf(sql, other))[1]?.reasons, ['grant_stopped']);
  assert.equal((await factsOf(id)).length + (await factsOf(other)).length, 1);
});

test('open_dedupe_seconds: loads inside the window after one that counted are kept as repeats', async () => {
  owner = await addOwner(sql, { open_dedupe_seconds: 60 });
  const id = await message(1);
  const start = Date.now() - 600_000;
  const at = (seconds: number, more: Partial<Hit> = {}): Hit =>
    makeHit(owner, id, { at: new Date(start + seconds * 1000), ...more });
  // In one batch and across batches; the window starts at the last load that counted, not at the last load.
  await record(at(0), at(30), at(59.999));
  await record(at(60), at(90, { link: 0 }), at(91, { link: 0 }));
  await record(at(119), at(125));
  const rows = await ledgerOf(sql, id);
  const opens = rows.filter((row) => row.trigger === 'message.opened');
  assert.deepEqual(
    opens.filter((row) => row.sequence !== null).map((row) => (row.at.getTime() - start) / 1000),
    [0, 60, 125],
  );
  assert.ok(opens.filter((row) => row.sequence === null).every((row) => row.reasons.includes('repeat')));
  assert.equal(opens.length, 6);
  assert.equal(rows.filter((row) => row.trigger === 'message.link_clicked' && row.sequence !== null).length, 2);
});

test('without the setting every load counts', async () => {
  const id = await message();
  const at = new Date();
  assert.deepEqual(await record(makeHit(owner, id, { at }), makeHit(owner, id, { at })), { ...NOTHING, counted: 2 });
});

test('an unknown message and a link that is not there are set aside, the rest is recorded', async () => {
  const id = await message(2);
  const good = makeHit(owner, id, { link: 1 });
  const stranger = makeHit(owner, uuidv7());
  const foreign = makeHit({ ...owner, app: owner.app + 1_000_000 }, id);
  const beyond = makeHit(owner, id, { link: 2 });
  assert.deepEqual(await record(stranger, beyond, good, foreign), { ...NOTHING, counted: 1, quarantined: 3 });
  const rows = await sql<{ reason: string; hit: unknown }[]>`
    select reason, hit from quarantine where id in (${stranger.id}, ${beyond.id}, ${foreign.id}) order by id`;
  assert.deepEqual(new Set(rows.map((row) => row.reason)), new Set(['message_unknown', 'link_out_of_range']));
  assert.deepEqual(rows.find((row) => row.reason === 'link_out_of_range')?.hit, JSON.parse(JSON.stringify(beyond)));
  assert.deepEqual(await record(stranger), { ...NOTHING, quarantined: 1 }, 'read again');
  assert.equal((await sql`select from counters where message_id = ${stranger.message}`).length, 0);
});

test('a jumped clock: one event however often and whenever it is read', async () => {
  const id = await message(1);
  const now = Date.now();
  const ahead = makeHit(owner, id, { at: new Date(now + 49 * 60 * 60 * 1000) });
  const wild = makeHit(owner, id, { at: new Date(Date.UTC(2087, 5, 1)) });
  const batches = hitBatches(sql);
  assert.deepEqual(await batches.record([ahead, wild], now), { ...NOTHING, counted: 2 });
  assert.deepEqual(await batches.record([wild, ahead], now + 60_000), { ...NOTHING, duplicates: 2 });
  const caughtUp = now + 26 * 60 * 60 * 1000;
  assert.deepEqual(await batches.record([ahead], caughtUp), { ...NOTHING, duplicates: 1 });
  const rows = await ledgerOf(sql, id);
  assert.ok(rows.every((row) => Math.abs(row.at.getTime() - now) < 60_000));
  assert.equal((await sql`select from pg_class where relname like 'events_w2087%'`).length, 0);
});

test('partitions are made on demand, for an old hit and after they were dropped under a running recorder', async () => {
  const sent = Date.now() - 100 * 24 * 60 * 60 * 1000;
  const [id = ''] = await addMessages(sql, owner, 1, 0, [uuidv7(sent)]);
  const batches = hitBatches(sql);
  const first = makeHit(owner, id, { at: new Date(sent + 1000) });
  assert.equal((await batches.record([first], Date.now())).counted, 1);
  const [partition] = await sql<
    { name: string }[]
  >`select tableoid::regclass::text as name from events where id = ${first.id}`;
  await sql.unsafe(`drop table ${partition?.name}`);
  const second = makeHit(owner, id, { at: new Date(sent + 2000) });
  await assert.rejects(batches.record([second], Date.now()), (error) => failureOf(error).kind === 'again');
  batches.forgetPartitions();
  assert.equal((await batches.record([second], Date.now())).counted, 1);
});

test('four nodes record overlapping hits at once: exact, without gaps, without a deadlock', async () => {
  const messages = await addMessages(sql, owner, 12, 4);
  const hits = Array.from({ length: 1600 }, (_, at) => {
    const id = messages[(at * 7) % messages.length] ?? '';
    return at % 5 === 0
      ? makeHit(owner, id)
      : at % 11 === 0
        ? makeHit(owner, id, { method: 'HEAD' })
        : makeHit(owner, id, { link: at % 4 });
  });
  const totals = { counted: 0, uncounted: 0, deadlocks: 0 };
  const node = async (number: number): Promise<void> => {
    const own = connect(connection, { max: 2 });
    const batches = hitBatches(own);
    // Every node reads all hits, in an order and in batches of its own.
    const size = 37 + number * 29;
    const order = number % 2 === 0 ? hits : hits.toReversed();
    for (let at = 0; at < order.length; ) {
      try {
        const result = await batches.record(order.slice(at, at + size), Date.now());
        totals.counted += result.counted;
        totals.uncounted += result.uncounted;
        at += size;
      } catch (error) {
        const { kind, code } = failureOf(error);
        assert.equal(kind, 'again', String(error));
        if (code === '40P01') totals.deadlocks++;
      }
    }
    await own.end({ timeout: 1 });
  };
  await Promise.all([0, 1, 2, 3].map(node));

  const heads = hits.filter((hit) => hit.method === 'HEAD').length;
  assert.deepEqual(totals, { counted: hits.length - heads, uncounted: heads, deadlocks: 0 });
  const rows = (await Promise.all(messages.map((id) => ledgerOf(sql, id)))).flat();
  assert.equal(rows.length, hits.length);
  for (const id of messages) {
    for (const trigger of ['message.opened', 'message.link_clicked']) {
      const counted = rows.filter((row) => row.message === id && row.trigger === trigger && row.sequence !== null);
      assert.deepEqual(
        counted.map((row) => row.sequence),
        [...counted.keys()],
      );
      const [counter] = await sql<{ count: number; link_counts: number[] | null }[]>`
        select count, link_counts from counters where message_id = ${id} and trigger = ${trigger}`;
      assert.equal(counter?.count, counted.length);
      const facts = (await factsOf(id)).filter((fact) => fact.trigger === trigger);
      assert.deepEqual(
        facts.map((fact) => fact.sequence),
        [...counted.keys()],
        'facts in order',
      );
      if (trigger === 'message.opened') continue;
      const perLink = [0, 0, 0, 0];
      for (const [at, { link }] of counted.entries()) {
        perLink[link ?? -1] = (perLink[link ?? -1] ?? 0) + 1;
        assert.deepEqual(facts[at]?.link_counts, perLink);
      }
      assert.deepEqual(counter?.link_counts, perLink);
    }
  }
});
