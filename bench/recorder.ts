// How fast the recorder empties a spool into the embedded PostgreSQL with the settings of the service, fsync included.
// Events, counters and the facts in the outbox are written and checked; nothing takes the facts out meanwhile. Hits
// come from memory, so the reading of the spool's files is not part of the figures. The server shares the machine.
import type { Sql } from '../src/db/pool.ts';
import type { Hit } from '../src/tracking/hit.ts';
import { startRecorder } from '../src/tracking/recorder.ts';
import { durableDatabase } from '../test/support/postgres.ts';
import { addMessages, addOwner, MemorySpool, makeHit, prepareLedger, QUIET } from '../test/support/recording.ts';

const COLD_MESSAGES = 30_000;
const HOT_MESSAGES = 20;
const HOT_LINKS = 100;
const HOT_HITS_EACH = 1500;
const ALONE = 200;

const { sql, drop } = await durableDatabase(prepareLedger);
const owner = await addOwner(sql);

// Never hit before, two links each: one opens it, one follows a link.
const cold = await addMessages(sql, owner, COLD_MESSAGES, 2);
figure(
  'recorder_cold_hits_per_s',
  await drain(cold.flatMap((message) => [makeHit(owner, message), makeHit(owner, message, { link: 1 })])),
);

// Every fact carries a hundred counts.
const hot = await addMessages(sql, owner, HOT_MESSAGES, HOT_LINKS);
const rounds = Array.from({ length: HOT_HITS_EACH }, (_, round) =>
  hot.map((message) => makeHit(owner, message, { link: (round * 7) % HOT_LINKS })),
);
figure('recorder_hot_hits_per_s', await drain(rounds.flat()));

const [one = ''] = await addMessages(sql, owner, 1, 2);
figure('recorder_alone_ms_p50', await alone(one));
await drop();

async function drain(hits: readonly Hit[]): Promise<number> {
  const before = await written(sql);
  const spool = new MemorySpool();
  spool.append(...hits);
  const started = performance.now();
  const recorder = startRecorder({ sql, spool, wake() {}, log: QUIET });
  await spool.drained();
  const seconds = (performance.now() - started) / 1000;
  await recorder.stop();
  const after = await written(sql);
  for (const name of ['events', 'counted', 'facts'] as const) {
    if (after[name] - before[name] !== hits.length) throw new Error(`${name}: ${after[name] - before[name]}`);
  }
  console.log(
    `${hits.length} hits in ${seconds.toFixed(1)} s, ${recorder.figures.batches} transactions, ` +
      `${Math.round((after.wal - before.wal) / hits.length)} bytes of log each`,
  );
  return Math.round(hits.length / seconds);
}

/** From the append of a hit that comes alone to its commit. */
async function alone(message: string): Promise<number> {
  const spool = new MemorySpool();
  let woken = (): void => {};
  const recorder = startRecorder({ sql, spool, wake: () => woken(), log: QUIET });
  const times: number[] = [];
  for (let made = 0; made < ALONE; made++) {
    const wake = new Promise<void>((resolve) => {
      woken = resolve;
    });
    const started = performance.now();
    spool.append(makeHit(owner, message, { link: made % 2 }));
    await wake;
    times.push(performance.now() - started);
  }
  await recorder.stop();
  return Number((times.sort((a, b) => a - b)[ALONE / 2] ?? 0).toFixed(2));
}

async function written(db: Sql): Promise<{ events: number; counted: number; facts: number; wal: number }> {
  const [row] = await db<{ events: number; counted: number; facts: number; wal: number }[]>`
    select (select count(*)::integer from events where sequence is not null) as events,
      (select coalesce(sum(count), 0)::integer from counters) as counted,
      (select count(*)::integer from outbox) as facts,
      (pg_current_wal_lsn() - '0/0')::float8 as wal`;
  return row ?? { events: 0, counted: 0, facts: 0, wal: 0 };
}

function figure(name: string, value: number): void {
  console.log(`FIGURE ${name} ${value}`);
}
