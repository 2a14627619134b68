// Deliveries through the deliverer of the service, in a process of its own with its own PostgreSQL, fsync included; the
// receivers are a third process. Parts: rate, drain, claims, beside; all of them, or those named as arguments.
import { readFileSync } from 'node:fs';
import { Agent } from 'undici';
import { connect, type Sql } from '../src/db/pool.ts';
import { uuidv7 } from '../src/ids.ts';
import { type Claim, claim, type Room } from '../src/notify/claiming.ts';
import { prepare } from '../src/notify/contents.ts';
import { MOST_AT_ONCE } from '../src/notify/pace.ts';
import { renderPayload } from '../src/notify/payloads.ts';
import { type Child, startChild } from './load/child.ts';
import { type DeliveryGround, deliveryGround } from './load/delivery-ground.ts';
import { type Figure, runParts } from './load/parts.ts';

const RATE_ROUNDS = 5;
const PER_ROUND = 5_000;
const QUEUED = 100_000;
const DEAD_ROWS = 999_000;
const CLAIM_ROUNDS = 7;
const CLAIMED = 2_000;
const BESIDE_ROUNDS = 5;
const BESIDE_SECONDS = 12;
/** Not counted: the dead ones are still thought to be alive. */
const WARM_UP_SECONDS = 2;
const PER_SECOND = 100;

await runParts({ rate, drain, claims, beside });

/** The queue of one live receiver is emptied, against a loop that posts the same bodies as many at once. */
async function rate(): Promise<Figure[]> {
  const ground = await deliveryGround();
  const { receiver, ports } = await startReceivers();
  const url = `http://live.example:${ports.live}/`;
  await ground.destination(url);
  const deliverer = startChild('deliverer', ground.connection);
  const agent = new Agent({ connections: MOST_AT_ONCE, pipelining: 1 });
  const [bare, ours, ratios, cpus, databases]: number[][] = [[], [], [], [], []];
  for (let round = 0; round <= RATE_ROUNDS; round++) {
    const count = round === 0 ? 1_000 : PER_ROUND;
    await ground.happen(count, await ground.messages(count / 2.5));
    await ground.queue(count);
    const bodies = await bodiesOf(ground.sql);
    const loop = await post(agent, `http://127.0.0.1:${ports.live}`, bodies);
    const before = [Number(await deliverer.ask('cpu')), await cpuOf(ground.sql)];
    const whole = await deliverAll(deliverer, count);
    const after = [Number(await deliverer.ask('cpu')), await cpuOf(ground.sql)];
    const [node = 0, postgres = 0] = after.map((used, at) => (used - (before[at] ?? 0)) / count);
    console.log(
      `  ${count} of ${Math.round(Buffer.concat(bodies).length / count)} bytes: bare ${loop.toFixed(0)}/s, ` +
        `deliveries ${whole.toFixed(0)}/s, CPU each ${node.toFixed(0)} µs and ${postgres.toFixed(0)} µs in PostgreSQL`,
    );
    if (round === 0) continue; // to warm up
    bare?.push(loop);
    ours?.push(whole);
    ratios?.push(whole / loop);
    cpus?.push(node);
    databases?.push(postgres);
  }
  await finish(ground, deliverer, receiver);
  return [
    { name: 'bare_posts_per_second', wanted: '', measured: median(bare).toFixed(0) },
    { name: 'deliveries_per_second', wanted: '', measured: median(ours).toFixed(0) },
    { name: 'deliveries_ratio', wanted: '>= 0.45', measured: median(ratios).toFixed(2) },
    { name: 'delivery_cpu_us', wanted: '', measured: median(cpus).toFixed(0) },
    { name: 'delivery_cpu_us_postgresql', wanted: '', measured: median(databases).toFixed(0) },
  ];
}

/** The memory of the deliverer while it empties a long queue. */
async function drain(): Promise<Figure[]> {
  const ground = await deliveryGround();
  const { receiver, ports } = await startReceivers();
  await ground.destination(`http://live.example:${ports.live}/`);
  await ground.happen(QUEUED, await ground.messages(QUEUED / 4));
  await ground.queue(QUEUED);
  const deliverer = startChild('deliverer', ground.connection);
  const memory = [await memoryOf(deliverer)];
  await deliverer.ask('start');
  const began = performance.now();
  for (let part = 1; part <= 10; part++) {
    await deliverer.ask('delivered', (QUEUED / 10) * part);
    memory.push(await memoryOf(deliverer));
  }
  const seconds = (performance.now() - began) / 1000;
  await deliverer.ask('stop');
  console.log(
    `  resident: ${memory.map(({ rss }) => rss).join(', ')} MB; heap: ${memory.map(({ heap }) => heap).join(', ')} MB`,
  );
  await finish(ground, deliverer, receiver);
  const shown = [memory[0], memory[1], memory[5], memory[10]];
  return [
    { name: 'drain_100000_per_second', wanted: '', measured: (QUEUED / seconds).toFixed(0) },
    { name: 'drain_resident_mb', wanted: 'flat', measured: shown.map((at) => at?.rss).join(', ') },
    { name: 'drain_heap_mb', wanted: 'flat', measured: shown.map((at) => at?.heap).join(', ') },
  ];
}

/**
 * What a claim of a live destination's deliveries costs per delivery with and without a dead one's rows in the table.
 * In two databases of one server, in turns. The dead one's rows came in one go after the statement had been planned for an empty table.
 */
async function claims(): Promise<Figure[]> {
  const [without, beside] = [await claimGround(), await claimGround()];
  for (const { sql } of [without, beside]) await sql`alter table pending_deliveries set (autovacuum_enabled = off)`;
  for (const ground of [without, beside]) await claimAll(ground, []);
  await fillDead(beside);
  const waiting: Room[] = [{ destinationId: beside.dead, free: 0 }];
  const found: Figure[] = [];
  const measure = async (name: string, rooms: readonly Room[]): Promise<void> => {
    const costs: number[][] = [[], []];
    for (let round = 0; round < CLAIM_ROUNDS; round++) {
      costs[0]?.push(await claimAll(without, []));
      costs[1]?.push(await claimAll(beside, rooms));
    }
    const [alone, crowded] = costs.map(median);
    console.log(`  ${name}: ${alone?.toFixed(1)} µs without, ${crowded?.toFixed(1)} µs beside them`);
    found.push({
      name: `claim_ratio_${name}`,
      wanted: '<= 1.5',
      measured: ((crowded ?? 0) / (alone ?? 1)).toFixed(2),
    });
    found.push({ name: `claim_us_${name}`, wanted: '', measured: `${alone?.toFixed(0)}, ${crowded?.toFixed(0)}` });
  };
  await measure('waiting_not_analyzed', waiting);
  for (const { sql } of [without, beside]) await sql`analyze pending_deliveries`;
  await measure('waiting_analyzed', waiting);
  await beside.sql`
    update pending_deliveries set next_attempt_at = now() + interval '1 hour' where destination_id = ${beside.dead}`;
  await beside.sql`update destinations set status = 'failing' where id = ${beside.dead}`;
  for (const { sql } of [without, beside]) await sql`vacuum analyze pending_deliveries`;
  await measure('failing', []);
  for (const { sql, drop } of [without, beside]) {
    await sql.end();
    await drop();
  }
  return found;
}

/** From the event to the arrival of its webhook, of a live receiver alone and beside five that fail. */
async function beside(): Promise<Figure[]> {
  const ground = await deliveryGround();
  const { sql } = ground;
  const { receiver, ports } = await startReceivers();
  const live = await ground.destination(`http://live.example:${ports.live}/`);
  await ground.destination(`http://127.0.0.1:${ports.hanging}/`);
  await ground.destination(`http://127.0.0.1:${ports.refusing}/`);
  await ground.destination(`http://127.0.0.1:${ports.resetting}/`);
  await ground.destination('http://dead.example/'); // its name server does not answer
  await ground.destination(`http://127.0.0.1:${ports.broken}/`);
  const deliverer = startChild('deliverer', ground.connection);
  const found: Record<'alone' | 'crowded', number[][]> = { alone: [], crowded: [] };
  let first = 0;
  const run = async (mode: 'alone' | 'crowded'): Promise<void> => {
    const triggers = mode === 'alone' ? [] : ['message.opened'];
    await sql`delete from pending_deliveries`;
    await sql`update destinations set triggers = ${triggers} where id <> ${live}`;
    const messages = await ground.messages(100);
    const before = [Number(await deliverer.ask('cpu')), await cpuOf(sql)];
    await deliverer.ask('start');
    const load = { owner: ground.owner, messages, first, perSecond: PER_SECOND, seconds: BESIDE_SECONDS };
    const happened = pairs(await deliverer.ask('load', load));
    first += happened.size;
    const arrived = new Map<number, number>();
    for (let look = 0; arrived.size < happened.size && look < 50; look++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      for (const [reader, at] of pairs(await receiver.ask('arrivals'))) arrived.set(reader, at);
    }
    await deliverer.ask('stop');
    const delays = [...happened]
      .slice(PER_SECOND * WARM_UP_SECONDS)
      .map(([reader, at]) => ((arrived.get(reader) ?? Number.POSITIVE_INFINITY) - at) / 1e6)
      .sort((a, b) => a - b);
    const shares = [0.5, 0.95, 0.99].map((share) => delays[Math.floor(delays.length * share)] ?? Number.NaN);
    const after = [Number(await deliverer.ask('cpu')), await cpuOf(sql)];
    const cpu = after.map((used, at) => ((used - (before[at] ?? 0)) / (BESIDE_SECONDS * 1e4)).toFixed(0));
    const shown = shares.map((ms) => ms.toFixed(1)).join(', ');
    console.log(`  ${mode}: ${shown} ms (p50, p95, p99), CPU ${cpu[0]} % and ${cpu[1]} % in PostgreSQL`);
    found[mode].push(shares);
  };
  await run('alone'); // to warm up
  found.alone = [];
  for (let round = 0; round < BESIDE_ROUNDS; round++) {
    await run('alone');
    await run('crowded');
  }
  await finish(ground, deliverer, receiver);
  const all = (mode: 'alone' | 'crowded'): number[] =>
    [0, 1, 2].map((at) => median(found[mode].map((shares) => shares[at] ?? Number.NaN)));
  const shown = (mode: 'alone' | 'crowded'): string =>
    all(mode)
      .map((ms) => ms.toFixed(1))
      .join(', ');
  return [
    { name: 'alone_ms_p50_p95_p99', wanted: '', measured: shown('alone') },
    { name: 'beside_dead_ms_p50_p95_p99', wanted: '', measured: shown('crowded') },
    {
      name: 'beside_dead_p99_ratio',
      wanted: '<= 1.3',
      measured: ((all('crowded')[2] ?? 0) / (all('alone')[2] ?? 1)).toFixed(2),
    },
  ];
}

async function startReceivers(): Promise<{ receiver: Child; ports: Record<string, number> }> {
  const receiver = startChild('receiver');
  const ports = Object(await receiver.ask('ports'));
  return { receiver, ports };
}

async function finish(ground: DeliveryGround, deliverer: Child, receiver: Child): Promise<void> {
  await deliverer.ask('end');
  deliverer.end();
  receiver.end();
  await ground.drop();
}

/** Deliveries a second, from the start until the last is settled. */
async function deliverAll(deliverer: Child, count: number): Promise<number> {
  const began = performance.now();
  await deliverer.ask('start');
  await deliverer.ask('delivered', count);
  const seconds = (performance.now() - began) / 1000;
  await deliverer.ask('stop');
  return count / seconds;
}

/** What is queued, as it will be sent. */
async function bodiesOf(sql: Sql): Promise<Buffer[]> {
  const queued = await sql<Claim[]>`
    select app, destination_id as "destinationId", notification_id as "notificationId", round, 1 as attempt
    from pending_deliveries order by notification_id`;
  const bodies: Buffer[] = [];
  for (let from = 0; from < queued.length; from += 500) {
    for (const { state } of await prepare(sql, queued.slice(from, from + 500), new Date())) {
      if (state === null) throw new Error('nothing to tell');
      bodies.push(Buffer.from(renderPayload(state, 1)));
    }
  }
  return bodies;
}

/** Posts a second. */
async function post(agent: Agent, origin: string, bodies: readonly Buffer[]): Promise<number> {
  let next = 0;
  const headers = { 'content-type': 'application/json' };
  const began = performance.now();
  const one = async (): Promise<void> => {
    for (let body = bodies[next++]; body !== undefined; body = bodies[next++]) {
      const answer = await agent.request({ origin, path: '/', method: 'POST', headers, body });
      await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`);
    }
  };
  await Promise.all(Array.from({ length: MOST_AT_ONCE }, one));
  return bodies.length / ((performance.now() - began) / 1000);
}

/** Microseconds that the server of this database has used, by `/proc`: of all its processes that are still there. */
async function cpuOf(sql: Sql): Promise<number> {
  const [server] = await sql<{ pids: number[] }[]>`select array_agg(pid) as pids from pg_stat_activity`;
  const ticks = (server?.pids ?? []).map((pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, one) => sum + one, 0) * 10_000; // a tick is a hundredth of a second
}

async function memoryOf(deliverer: Child): Promise<{ rss: number; heap: number }> {
  const { rss, heap } = Object(await deliverer.ask('memory'));
  return { rss: Math.round(rss), heap: Math.round(heap) };
}

interface ClaimGround {
  /** One connection, as the statements' plans are kept for each. */
  readonly sql: Sql;
  readonly app: number;
  readonly live: string;
  readonly dead: string;
  drop(): Promise<void>;
}

async function claimGround(): Promise<ClaimGround> {
  const ground = await deliveryGround();
  const live = await ground.destination('https://live.example/');
  const dead = await ground.destination('https://dead.example/');
  const sql = connect(ground.connection, { max: 1 });
  return { sql, app: ground.owner.app, live, dead, drop: ground.drop };
}

async function fillDead({ sql, app, dead }: ClaimGround): Promise<void> {
  for (let filled = 0; filled < DEAD_ROWS; filled += 37_000) {
    const ids = Array.from({ length: 37_000 }, () => uuidv7());
    await sql`
      insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
      select ${app}, ${dead}, id, now() - interval '1 hour' from unnest(${ids}::uuid[]) as id`;
  }
}

/** Microseconds per delivery; as many at once as a destination in good health is claimed for. */
async function claimAll({ sql, app, live }: ClaimGround, rooms: readonly Room[]): Promise<number> {
  const ids = Array.from({ length: CLAIMED }, () => uuidv7());
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
    select ${app}, ${live}, id, now() from unnest(${ids}::uuid[]) as id`;
  let claimed = 0;
  let spent = 0;
  while (claimed < CLAIMED) {
    const now = Date.now();
    const began = performance.now();
    const taken = await claim(sql, {
      kinds: ['webhook', 'pubsub'],
      freshRoom: MOST_AT_ONCE,
      rooms,
      limit: 128,
      now: new Date(now + 1000),
      until: new Date(now + 20_000),
    });
    spent += performance.now() - began;
    const ours = taken.filter(({ destinationId }) => destinationId === live).map((one) => one.notificationId);
    if (ours.length === 0) throw new Error(`claimed ${claimed} of ${CLAIMED}`);
    claimed += ours.length;
    await sql`delete from pending_deliveries where app = ${app} and destination_id = ${live} and notification_id = any(${ours}::uuid[])`;
  }
  return (spent / CLAIMED) * 1000;
}

function pairs(answer: unknown): Map<number, number> {
  if (!Array.isArray(answer)) throw new Error('no pairs');
  return new Map(answer);
}

function median(values: readonly number[] = []): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
