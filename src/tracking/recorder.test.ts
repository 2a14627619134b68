import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { testDatabase, throwAwayFolder, usedDataFolder } from '../../test/support/postgres.ts';
import {
  addMessages,
  addOwner,
  ledgerOf,
  MemorySpool,
  makeHit,
  type Owner,
  prepareLedger,
  QUIET,
} from '../../test/support/recording.ts';
import { watchDatabase } from '../db/database-watch.ts';
import { type Embedded, startEmbedded } from '../db/embedded.ts';
import { type Connection, connect, retrying, type Sql } from '../db/pool.ts';
import { uuidv7 } from '../ids.ts';
import { generateSecret, parseKeyring } from '../keyring.ts';
import type { Hit } from './hit.ts';
import { type Recorder, type RecorderDeps, startRecorder } from './recorder.ts';
import { openSpool, type Spool } from './spool.ts';
import { pixelUrl, readPixel, tokenKeys } from './token.ts';

const recorders: Recorder[] = [];
afterEach(async () => {
  for (const recorder of recorders.splice(0)) await recorder.stop();
});

function start<Position>(
  deps: Pick<RecorderDeps<Position>, 'sql' | 'spool'> & Partial<RecorderDeps<Position>>,
): Recorder {
  const recorder = startRecorder({ wake() {}, log: QUIET, ...deps });
  recorders.push(recorder);
  return recorder;
}

/** Nothing else may hold the process while the database is away. */
async function soon<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('not within 30 s')), 30_000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

describe('a spool in memory', () => {
  let sql: Sql;
  let connection: Connection;
  let drop: () => Promise<void>;
  let owner: Owner;
  let spool: MemorySpool;

  before(async () => {
    ({ sql, connection, drop } = await testDatabase(prepareLedger));
  });
  after(() => drop());
  beforeEach(async () => {
    owner = await addOwner(sql);
    spool = new MemorySpool();
  });

  test('a hit alone is recorded at once, and fan-out is woken after the commit', async () => {
    const [message = ''] = await addMessages(sql, owner, 1, 1);
    let woken = (): void => {};
    const recorder = start({ sql, spool, wake: () => woken() });
    for (let round = 0; round < 5; round++) {
      const wake = new Promise<void>((resolve) => {
        woken = resolve;
      });
      spool.append(makeHit(owner, message, { link: 0 }));
      await wake;
      assert.equal((await ledgerOf(sql, message)).length, round + 1);
      await spool.drained();
    }
    assert.equal(recorder.figures.batches, 5);
    assert.equal(recorder.lagSeconds(), 0);
  });

  test('uncounted hits wake nobody', async () => {
    const [message = ''] = await addMessages(sql, owner, 1, 1);
    let wakes = 0;
    start({ sql, spool, wake: () => wakes++ });
    spool.append(makeHit(owner, message, { method: 'HEAD' }));
    await spool.drained();
    assert.equal(wakes, 0);
  });

  test('a backlog is drained in order, in batches', async () => {
    const messages = await addMessages(sql, owner, 3, 2);
    const hits = Array.from({ length: 3000 }, (_, at) => makeHit(owner, messages[at % 3] ?? '', { link: at % 2 }));
    spool.append(...hits);
    const recorder = start({ sql, spool });
    await spool.drained();
    assert.equal(recorder.figures.recorded, 3000);
    assert.ok(recorder.figures.batches < 20, `${recorder.figures.batches} batches`);
    for (const [at, message] of messages.entries()) {
      assert.deepEqual(
        (await ledgerOf(sql, message)).map((row) => row.id),
        hits.filter((_, index) => index % 3 === at).map((hit) => hit.id),
      );
    }
  });

  test('lag is the age of the oldest hit that is not recorded', async () => {
    const [message = ''] = await addMessages(sql, owner, 1, 0);
    spool.append(makeHit(owner, message, { at: new Date(Date.now() - 90_000) }), makeHit(owner, message));
    const away = connect({ host: '/nowhere', port: 1, database: 'x', username: 'x' });
    const recorder = start({ sql: away, spool });
    assert.ok(recorder.lagSeconds() >= 90 && recorder.lagSeconds() < 100);
    await recorder.stop();
    await away.end({ timeout: 1 });
  });

  test('poisonous hits are set aside and block nothing, and the others keep their order', async () => {
    const messages = await addMessages(sql, owner, 2, 1);
    const good = Array.from({ length: 120 }, (_, at) => makeHit(owner, messages[at % 2] ?? '', { link: 0 }));
    const poison: Hit[] = [
      makeHit(owner, messages[0] ?? '', { userAgent: 'a\0b' }), // refused by the database as text
      makeHit({ ...owner, app: 2 ** 40 }, messages[0] ?? ''), // as a number
      makeHit({ ...owner, grant: 0.5 }, messages[0] ?? ''),
      makeHit(owner, 'no message'),
      makeHit(owner, messages[1] ?? '', { at: new Date(Number.NaN), id: uuidv7() }),
      makeHit(owner, messages[1] ?? '', { link: 1 }),
      makeHit(owner, uuidv7()),
      makeHit(owner, uuidv7(Date.UTC(2087, 0, 1)), { at: new Date(Date.UTC(2090, 0, 1)) }),
    ];
    const all = [...good];
    for (const [at, hit] of poison.entries()) all.splice(at * 15 + 3, 0, hit);
    spool.append(...all);
    const recorder = start({ sql, spool });
    await spool.drained();
    assert.equal(recorder.figures.quarantined, poison.length);
    assert.equal(recorder.figures.recorded, good.length);
    for (const [at, message] of messages.entries()) {
      const rows = await ledgerOf(sql, message);
      assert.deepEqual(
        rows.map((row) => [row.id, row.sequence]),
        good.filter((_, index) => index % 2 === at).map((hit, sequence) => [hit.id, sequence]),
      );
    }
    const reasons = await sql<{ id: string; reason: string }[]>`select id, reason from quarantine`;
    assert.deepEqual(
      poison.map((hit) => reasons.find((row) => row.id === hit.id)?.reason.split(' ')[0]),
      [
        '22021',
        '22003',
        '22P02',
        'id_malformed',
        'time_malformed',
        'link_out_of_range',
        'message_unknown',
        'clock_jumped',
      ],
    );
  });

  test('four recorders over the same hits, from different places, count each once', async () => {
    const messages = await addMessages(sql, owner, 5, 2);
    const hits = Array.from({ length: 2000 }, (_, at) => makeHit(owner, messages[at % 5] ?? '', { link: at % 2 }));
    const nodes = [0, 1, 2, 3].map((number) => {
      const own = new MemorySpool();
      own.append(...hits.slice(number * 300), ...hits.slice(0, number * 300));
      return { spool: own, sql: connect(connection, { max: 2 }) };
    });
    const running = nodes.map((node) => start(node));
    await Promise.all(nodes.map((node) => node.spool.drained()));
    const sum = (name: 'recorded' | 'duplicates'): number =>
      running.reduce((all, { figures }) => all + figures[name], 0);
    assert.deepEqual([sum('recorded'), sum('duplicates')], [2000, 6000]);
    for (const message of messages) {
      const rows = await ledgerOf(sql, message);
      assert.deepEqual(
        rows.map((row) => row.sequence),
        [...Array(400).keys()],
      );
    }
    for (const recorder of running) await recorder.stop();
    for (const node of nodes) await node.sql.end({ timeout: 1 });
  });

  test('the connection is cut in the middle of a batch: nothing lost, nothing twice', async () => {
    const [message = ''] = await addMessages(sql, owner, 1, 0);
    const own = connect(connection, { max: 2, applicationName: 'victim' });
    const hits: Hit[] = [makeHit(owner, message)];
    const recorder = start({ sql: own, spool });
    spool.append(...hits);
    await spool.drained();
    for (let round = 1; round <= 5; round++) {
      const more = Array.from({ length: 300 }, () => makeHit(owner, message));
      hits.push(...more);
      await sql.begin(async (tx) => {
        await tx`select from counters where message_id = ${message} for update`;
        spool.append(...more);
        const cut = (): Promise<readonly unknown[]> => sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = 'victim' and datname = current_database() and wait_event_type = 'Lock'`;
        while ((await cut()).length === 0);
      });
      await spool.drained();
      assert.ok(recorder.figures.replays >= round);
    }
    await recorder.stop();
    await own.end({ timeout: 1 });
    assert.deepEqual(
      (await ledgerOf(sql, message)).map((row) => [row.id, row.sequence]),
      hits.map((hit, sequence) => [hit.id, sequence]),
    );
  });

  test('a full or read-only database poisons nothing: the batch waits', async () => {
    const [message = ''] = await addMessages(sql, owner, 1, 0);
    const { name } = (await sql<{ name: string }[]>`select current_database() as name`)[0] ?? { name: '' };
    await sql.unsafe(`alter database ${name} set default_transaction_read_only = on`);
    const own = connect(connection, { max: 1 });
    const refused = new Promise<void>((resolve) => {
      start({ sql: own, spool, log: { ...QUIET, warn: () => resolve() } });
    });
    spool.append(makeHit(owner, message));
    await refused;
    await sql.unsafe(`alter database ${name} set default_transaction_read_only = off`);
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = ${name}`;
    await spool.drained();
    assert.equal((await retrying(() => ledgerOf(sql, message))).length, 1);
    await recorders[0]?.stop();
    await own.end({ timeout: 1 });
  });
});

describe('a server of its own', () => {
  let dataDir: string;
  let server: Embedded;
  let sql: Sql;
  let spool: Spool;
  let owner: Owner;
  let identity: Buffer;
  let message: string;

  before(async () => {
    dataDir = await usedDataFolder();
    server = await startEmbedded({ dataDir, log: QUIET });
    sql = connect(server.connection);
    await prepareLedger(sql);
    owner = await addOwner(sql);
    [message = ''] = await addMessages(sql, owner, 1, 0);
    const keys = tokenKeys(parseKeyring(generateSecret()));
    const { pathname } = new URL(pixelUrl(keys, 'https://tracking.test', { ...owner, message }));
    identity = readPixel(keys, pathname) ?? Buffer.alloc(0);
  });
  beforeEach(async () => {
    await sql`truncate events, counters, outbox`;
    // Small segments, so that some are released and kept.
    spool = await openSpool({ dataDir: await throwAwayFolder(), log: QUIET, segmentBytes: 64 << 10 });
  });
  afterEach(() => spool.close());
  after(async () => {
    await sql.end({ timeout: 1 });
    await server.stop();
  });

  function hit(userAgent: string): Promise<void> {
    const more = { method: 'GET', prefetch: false, acceptLanguage: true, secFetchMode: true, ip: '203.0.113.9' };
    return new Promise((resolve, reject) => {
      spool.append({ identity, userAgent, ...more }, (outcome) =>
        outcome === 'durable' ? resolve() : reject(new Error(outcome)),
      );
    });
  }

  async function hits(from: number, to: number): Promise<string[]> {
    const agents = Array.from({ length: to - from }, (_, at) => `hit ${from + at}`);
    for (let at = 0; at < agents.length; at += 50) await Promise.all(agents.slice(at, at + 50).map(hit));
    return agents;
  }

  /** The real reader, and the moment at which it has nothing left. */
  function watchedReader(): { reader: Spool['reader']; drained: () => Promise<void> } {
    const waiting: (() => void)[] = [];
    const { reader } = spool;
    return {
      reader: {
        ...reader,
        async done(upTo) {
          await reader.done(upTo);
          if (reader.depth().hits === 0) for (const resolve of waiting.splice(0)) resolve();
        },
      },
      drained: () =>
        soon(new Promise<void>((resolve) => (reader.depth().hits === 0 ? resolve() : waiting.push(resolve)))),
    };
  }

  async function recordedAgents(): Promise<string[]> {
    const rows = await retrying(
      () => sql<{ user_agent: string; sequence: number }[]>`select user_agent, sequence from events order by sequence`,
    );
    assert.deepEqual(
      rows.map((row) => row.sequence),
      [...rows.keys()],
      'without gaps',
    );
    return rows.map((row) => row.user_agent);
  }

  test('the database stops and comes back: every hit is there once, in order', async () => {
    const { reader, drained } = watchedReader();
    const recorder = start({ sql, spool: reader });
    const before = await hits(0, 1500);
    await server.stop();
    const during = await hits(1500, 2500);
    assert.ok(reader.depth().hits >= during.length);
    assert.ok(recorder.lagSeconds() > 0);
    server = await startEmbedded({ dataDir, log: QUIET });
    await drained();
    assert.deepEqual(await recordedAgents(), [...before, ...during]);
    assert.ok(recorder.figures.replays >= 1);
    assert.equal(recorder.figures.quarantined, 0);
  });

  test('a server that comes back without its last commits gets them again, also when nobody noticed it was away', async () => {
    const { reader, drained } = watchedReader();
    const recorder = start({ sql, spool: reader, lookEveryMs: 200 });
    const kept = await hits(0, 400);
    await drained();
    // A copy taken now is what another server has that follows behind.
    await server.stop();
    const cluster = join(dataDir, 'postgres');
    const copy = join(await throwAwayFolder(), 'copy');
    await cp(cluster, copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    server = await startEmbedded({ dataDir, log: QUIET });
    const gone = await hits(400, 1000);
    await drained();
    assert.equal((await recordedAgents()).length, 1000);
    await server.stop();
    await rm(cluster, { recursive: true });
    await cp(copy, cluster, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    const replays = recorder.figures.replays;
    server = await startEmbedded({ dataDir, log: QUIET });
    while (recorder.figures.replays === replays) await retrying(() => sql`select pg_sleep(0.05)`);
    await drained();
    assert.deepEqual(await recordedAgents(), [...kept, ...gone]);
  });

  test('another run of the server is noticed, once', async () => {
    const database = watchDatabase(sql);
    assert.equal(await database.look(), false);
    assert.equal(await database.look(), false);
    assert.ok(Math.abs(database.now() - Date.now()) < 1000);
    await server.stop();
    await assert.rejects(database.look());
    server = await startEmbedded({ dataDir, log: QUIET });
    assert.equal(await retrying(() => database.look()), true);
    assert.equal(await database.look(), false);
  });

  test('stop while the database is away returns, and the next recorder goes on', async () => {
    const first = watchedReader();
    await server.stop();
    const recorder = start({ sql, spool: first.reader });
    const agents = await hits(0, 100);
    await recorder.stop();
    assert.equal(first.reader.depth().hits, 100);
    server = await startEmbedded({ dataDir, log: QUIET });
    const second = watchedReader();
    start({ sql, spool: second.reader });
    await second.drained();
    assert.deepEqual(await recordedAgents(), agents);
  });
});
