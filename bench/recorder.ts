// How fast the recorder empties a spool into an embedded PostgreSQL with fsync on, facts in the outbox included.
// Hits come from memory, so the spool's own reading is not in the figure; nothing takes facts out meanwhile.

import { migrate } from '../src/db/migrate.ts';
import type { Sql } from '../src/db/pool.ts';
import { connect } from '../src/db/pool.ts';
import { uuidTime, uuidv7 } from '../src/ids.ts';
import { makeLog } from '../src/log.ts';
import type { Hit } from '../src/tracking/hit.ts';
import { startRecorder } from '../src/tracking/recorder.ts';

const COLD_HITS = Number(process.env.COLD ?? 60_000);
const HOT_MESSAGES = 20;
const HOT_LINKS = 100;
const HOT_HITS = Number(process.env.HOT ?? 30_000);
const AGENT =
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15';

const sql = connect({ host: '/tmp/recpg/sock', port: 5432, database: 'postgres', username: 'postgres' });
await sql.unsafe('drop schema public cascade; create schema public');
await migrate(sql);
const [app] = await sql<{ serial: number }[]>`
  insert into applications (id, name, environment) values (${uuidv7()}, 'bench', 'production') returning serial`;
const [grant] = await sql<{ serial: number }[]>`
  insert into grants (app, id, provider, email) values (${app?.serial ?? 0}, ${uuidv7()}, 'practice', 'a@example.test')
  returning serial`;
const owner = { app: app?.serial ?? 0, grant: grant?.serial ?? 0 };

// Two hits on each message: one opens it, one follows a link.
const cold = await addMessages(COLD_HITS / 2, 2);
const coldHits = Array.from({ length: COLD_HITS }, (_, at) =>
  hit(cold[at >> 1] ?? '', at % 2 === 0 ? 'open' : 'click', at & 1),
);
console.log(`FIGURE recorder_cold_hits_per_s ${await drain(coldHits)}`);

const hot = await addMessages(HOT_MESSAGES, HOT_LINKS);
const hotHits = Array.from({ length: HOT_HITS }, (_, at) =>
  hit(hot[at % HOT_MESSAGES] ?? '', 'click', (at * 7) % HOT_LINKS),
);
console.log(`FIGURE recorder_hot_hits_per_s ${await drain(hotHits)}`);
await sql.end();

async function drain(hits: readonly Hit[]): Promise<number> {
  const before = await recorded(sql);
  const [wal] = await sql<{ lsn: string }[]>`select pg_current_wal_lsn() - '0/0'::pg_lsn as lsn`;
  let at = 0;
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const started = performance.now();
  const recorder = startRecorder({
    sql,
    log: makeLog('warn'),
    wake() {},
    spool: {
      async read(max: number) {
        return { hits: hits.slice(at, at + max), upTo: Math.min(at + max, hits.length) };
      },
      async done(upTo: number) {
        at = upTo;
        if (at === hits.length) finish();
      },
      async replayReleased() {},
      onAppend() {},
      depth: () => ({ oldest: null }),
    },
  });
  await finished;
  const seconds = (performance.now() - started) / 1000;
  await recorder.stop();
  if ((await recorded(sql)) - before !== hits.length) throw new Error('the ledger does not hold every hit');
  const [wal2] = await sql<{ lsn: string }[]>`select pg_current_wal_lsn() - '0/0'::pg_lsn as lsn`;
  console.log(
    'wal bytes/hit',
    Math.round((Number(wal2?.lsn) - Number(wal?.lsn)) / hits.length),
    JSON.stringify(recorder.figures),
  );
  return Math.round(hits.length / seconds);
}

async function recorded(db: Sql): Promise<number> {
  const [row] = await db<{ count: number }[]>`select count(*)::integer as count from events where sequence is not null`;
  return row?.count ?? 0;
}

async function addMessages(count: number, links: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => uuidv7());
  await sql`
    insert into messages (app, id, grant_id, state, opens, links, thread_replies, link_count, message_id, thread_id)
    select ${owner.app}::integer, id, (select id from grants where serial = ${owner.grant}), 'sent', true, true, false,
      ${links}::smallint, id || '@bench.test', id
    from unnest(${ids}::uuid[]) as message (id)`;
  return ids;
}

function hit(message: string, kind: Hit['kind'], link: number): Hit {
  const id = uuidv7();
  return {
    id,
    at: new Date(uuidTime(id)),
    kind,
    ...owner,
    message,
    link,
    method: 'GET',
    prefetch: false,
    acceptLanguage: true,
    secFetchMode: true,
    ip: '203.0.113.77',
    userAgent: AGENT,
  };
}
