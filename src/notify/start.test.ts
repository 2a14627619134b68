import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import {
  type Behaviour,
  flask,
  hang,
  inTurn,
  type Received,
  type Receiver,
  startReceiver,
  status,
} from '../../test/support/receiver.ts';
import { parseRanges } from '../addresses.ts';
import { makeLog } from '../log.ts';
import { makeSafeFetch, type SafeFetch } from '../safe-fetch.ts';
import { type Notify, startNotify } from './start.ts';

let ground: NotifyGround;
let safeFetch: SafeFetch;
const closers: (() => Promise<void>)[] = [];

before(async () => {
  safeFetch = makeSafeFetch({ allowLoopback: true, allowPrivateTargets: parseRanges('') });
});
after(() => safeFetch.close());
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function fresh(): Promise<void> {
  ground = await notifyGround();
  const { drop } = ground;
  closers.push(drop);
}

interface Options {
  readonly clock?: { ms: number };
  readonly random?: number;
  readonly attemptMs?: number;
  readonly pollMs?: number;
}

function start({ clock, random = 0.5, attemptMs, pollMs = 20 }: Options = {}): Notify {
  const notify = startNotify({
    sql: ground.sql,
    log: makeLog('error'),
    vault: ground.vault,
    safeFetch,
    random: () => random,
    pollMs,
    ...(clock ? { now: () => clock.ms } : {}),
    ...(attemptMs === undefined ? {} : { attemptMs }),
  });
  closers.push(() => notify.stop());
  return notify;
}

async function receiver(behaviour?: Behaviour): Promise<Receiver> {
  const started = await startReceiver();
  if (behaviour) started.behave(behaviour);
  closers.push(() => started.close());
  return started;
}

interface Payload {
  readonly id: string;
  readonly type: string;
  readonly webhook_delivery_attempt: number;
  readonly data: {
    readonly object: {
      readonly label: string;
      readonly message_data: { readonly count: number };
      readonly link_data: readonly { readonly count: number; readonly url: string }[];
      readonly recents: readonly { readonly click_id: string; readonly user_agent: string }[];
    };
  };
}

function json(request: Received | undefined): Payload {
  assert.ok(request);
  return JSON.parse(request.body.toString('utf8'));
}

/** Looks again after each commit of the loops; they poll every 20 ms. */
async function until<T>(what: string, look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`not within 10 s: ${what}`);
}

async function rested(state: string, count: number): Promise<readonly { attempts: number }[]> {
  return until(`${count} deliveries ${state}`, async () => {
    const rows = await ground.sql<{ attempts: number }[]>`select attempts from deliveries where state = ${state}`;
    return rows.length >= count ? rows : null;
  });
}

test('an open and a click arrive signed, as a Flask handler wants them', async () => {
  await fresh();
  const target = await receiver(flask);
  const { secret } = await ground.destination(target.url);
  const message = await ground.message(['https://espn.com', 'mailto:kim@shop.test'], 'trial');
  const notify = start();
  await ground.happen(message, {}, { link: 1 });
  notify.wakeFanout();
  const deliveries = await target.arrived(2);
  await rested('delivered', 2);

  const [opened, clicked] = [...deliveries].sort((a, b) => (json(a).type < json(b).type ? 1 : -1));
  assert.equal(json(opened).type, 'message.opened');
  assert.deepEqual(json(opened).data.object.message_data.count, 1);
  assert.deepEqual(json(clicked).data.object.link_data, [
    { count: 0, url: 'https://espn.com' },
    { count: 1, url: 'mailto:kim@shop.test' },
  ]);
  assert.equal(json(clicked).data.object.label, 'trial');
  assert.ok(clicked);
  assert.equal(clicked.headers['content-type'], 'application/json');
  const key = createHmac('sha256', secret).update(clicked.body).digest('hex');
  assert.equal(clicked.headers['x-nylas-signature'], key);
  const id = json(clicked).id;
  assert.match(id, /^ntf_/);
  assert.equal(clicked.headers['webhook-id'], id);
  const standard = createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
    .update(`${id}.${clicked.headers['webhook-timestamp']}.${clicked.body}`)
    .digest('base64');
  assert.equal(clicked.headers['webhook-signature'], `v1,${standard}`);
  assert.equal(notify.counts.settled.delivered, 2);
});

test('each notification tells the state at its own number', async () => {
  await fresh();
  const target = await receiver();
  await ground.destination(target.url);
  const message = await ground.message(['https://a.test', 'https://b.test']);
  await ground.happen(message, ...Array.from({ length: 60 }, (_, at) => ({ link: at % 2, userAgent: `agent ${at}` })));
  const notify = start();
  notify.wakeFanout();
  const deliveries = await target.arrived(60);
  for (const request of deliveries) {
    const { link_data: links, recents } = json(request).data.object;
    const total = links.reduce((sum, link) => sum + link.count, 0);
    const newest = recents.at(-1);
    assert.equal(newest?.click_id, String(total - 1));
    assert.equal(newest?.user_agent, `agent ${total - 1}`);
    assert.equal(recents.length, Math.min(total, 50));
    assert.deepEqual(
      recents.map((event) => Number(event.click_id)),
      Array.from({ length: recents.length }, (_, at) => total - recents.length + at),
    );
  }
  assert.equal(new Set(deliveries.map((request) => json(request).id)).size, 60);
});

test('a compressed delivery is signed over its compressed bytes', async () => {
  await fresh();
  const target = await receiver();
  const { secret } = await ground.destination(target.url, { compressed: true });
  const message = await ground.message();
  const notify = start();
  await ground.happen(message, {});
  notify.wakeFanout();
  const [request] = await target.arrived(1);
  assert.ok(request);
  assert.equal(request.headers['content-encoding'], 'gzip');
  assert.equal(request.headers['content-type'], 'application/json');
  assert.equal(request.headers['x-nylas-signature'], createHmac('sha256', secret).update(request.body).digest('hex'));
  assert.equal(JSON.parse(gunzipSync(request.body).toString('utf8')).type, 'message.opened');
});

test('facts that nobody subscribes to vanish, those of a paused destination are held', async () => {
  await fresh();
  const target = await receiver();
  await ground.destination(target.url, { triggers: ['message.link_clicked'] });
  await ground.destination(`${target.origin}/paused`, { status: 'paused' });
  await ground.destination(`${target.origin}/failed`, { status: 'failed', triggers: ['message.opened'] });
  const message = await ground.message(['https://a.test']);
  const notify = start();
  await ground.happen(message, {}, { link: 0 });
  notify.wakeFanout();
  await target.arrived(1);
  await rested('delivered', 1);
  assert.equal((await rested('held', 3)).length, 3);
  assert.deepEqual(
    target.deliveries.map((request) => request.path),
    ['/hook'],
  );
  await ground.happen(await ground.message(), {});
  await ground.sql`delete from destinations where address like '%paused' or address like '%failed'`;
  notify.wakeFanout();
  await until('the outbox is empty', async () => (await ground.sql`select from outbox`).length === 0);
  const notifications = await ground.sql`select from notifications`;
  assert.equal(notifications.length, 2);
});

test('failures follow the schedule, each attempt is kept, the eighth exhausts', async () => {
  await fresh();
  const target = await receiver(status(500, {}, 'no\u0000pe'));
  await ground.destination(target.url);
  const message = await ground.message();
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  await ground.happen(message, {});
  const waits = [5, 300, 1800, 7200, 18_000, 36_000, 36_000];
  for (const [turn, wait] of [0, ...waits].entries()) {
    clock.ms += wait * 1000;
    notify.wakeFanout();
    await target.arrived(turn + 1);
    await until(
      `attempt ${turn + 1} is kept`,
      async () => (await ground.sql`select from attempts`).length === turn + 1,
    );
  }
  assert.deepEqual(await rested('exhausted', 1), [{ attempts: 8 }]);
  assert.deepEqual(
    target.deliveries.map((request) => json(request).webhook_delivery_attempt),
    [1, 2, 3, 4, 5, 6, 7, 8],
  );
  assert.equal(new Set(target.deliveries.map((request) => request.headers['webhook-id'])).size, 1);
  const signatures = new Set(target.deliveries.map((request) => request.headers['webhook-signature']));
  assert.equal(signatures.size, 8);
  const attempts = await ground.sql`select attempt, outcome, status_code, answer from attempts order by attempt`;
  assert.deepEqual({ ...attempts[7] }, { attempt: 8, outcome: 'status', status_code: 500, answer: 'nope' });
  assert.equal((await ground.sql`select from pending_deliveries`).length, 0);
});

test('nothing is sent a moment before it is due', async () => {
  await fresh();
  const target = await receiver(inTurn(status(500), status(200)));
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await target.arrived(1);
  await until('the first attempt is kept', async () => (await ground.sql`select from attempts`).length === 1);
  clock.ms += 4_999;
  const other = await receiver();
  await ground.destination(other.url);
  await ground.happen(await ground.message(), {}); // fans out to both; when it has arrived, the earlier was passed over
  notify.wakeFanout();
  await other.arrived(1);
  await target.arrived(2);
  assert.notEqual(target.deliveries[1]?.headers['webhook-id'], target.deliveries[0]?.headers['webhook-id']);
  clock.ms += 1;
  notify.wakeDeliver();
  await target.arrived(3);
  assert.equal(target.deliveries[2]?.headers['webhook-id'], target.deliveries[0]?.headers['webhook-id']);
});

test('410 stops, a redirect is not followed, Nylas’s own schedule gives up on a 404', async () => {
  await fresh();
  const inside = await receiver();
  const gone = await receiver(status(410));
  const moved = await receiver(status(302, { location: inside.url }));
  await ground.destination(gone.url);
  await ground.destination(moved.url);
  const notify = start();
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await rested('stopped', 1);
  await until(
    'the redirect is kept',
    async () => (await ground.sql`select from attempts where outcome = 'redirect'`)[0],
  );
  assert.equal(inside.received.length, 0);
  gone.behave(status(404));
  await ground.setting('retry_schedule', 'nylas');
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await rested('stopped', 3); // the 404 and the redirect
});

test('a delivery whose process died is tried again with the next number and the same id', async () => {
  await fresh();
  const target = await receiver(hang);
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const dying = start({ clock, attemptMs: 300 });
  await ground.happen(await ground.message(), {});
  dying.wakeFanout();
  await target.arrived(1);
  // A second process sees the claim, not the attempt; the first one's result comes after the claim was lost.
  const survivor = start({ clock, attemptMs: 300 });
  clock.ms += 20_001;
  target.behave(status(200));
  survivor.wakeDeliver();
  await target.arrived(2);
  await rested('delivered', 1);
  assert.deepEqual(
    target.deliveries.map((request) => json(request).webhook_delivery_attempt),
    [1, 2],
  );
  assert.equal(target.deliveries[0]?.headers['webhook-id'], target.deliveries[1]?.headers['webhook-id']);
  const both = await until('both attempts are kept', async () => {
    const rows = await ground.sql`select attempt, outcome from attempts order by attempt`;
    return rows.length === 2 ? rows : null;
  });
  assert.deepEqual(
    [...both].map((row) => row.outcome),
    ['timeout', 'ok'],
  );
  assert.deepEqual(await rested('delivered', 1), [{ attempts: 2 }]);
  assert.equal((await ground.sql`select from pending_deliveries`).length, 0);
});

test('a dead destination with a long queue neither slows a live one nor is hammered', async () => {
  await fresh();
  const dead = await receiver(hang);
  const live = await receiver();
  await ground.destination(dead.url, { triggers: ['message.opened'] });
  const notify = start({ attemptMs: 400 });
  const message = await ground.message(['https://a.test']);
  await ground.happen(message, ...Array.from({ length: 300 }, () => ({})));
  notify.wakeFanout();
  await dead.arrived(4); // it starts with four at once
  await ground.destination(live.url, { triggers: ['message.link_clicked'] });
  const waits: number[] = [];
  for (let turn = 1; turn <= 30; turn++) {
    const began = performance.now();
    await ground.happen(message, { link: 0 });
    notify.wakeFanout();
    await live.arrived(turn);
    waits.push(performance.now() - began);
  }
  waits.sort((a, b) => a - b);
  assert.ok((waits[28] ?? 0) < 300, `95 % within ${waits[28]} ms, one of the dead one's attempts takes 400 ms`);
  assert.ok(dead.deliveries.length <= 12, `${dead.deliveries.length} attempts on the dead one`);
});

test('a blocked target is an outcome like any other, and nothing reaches it', async () => {
  await fresh();
  const inside = await receiver();
  const strict = makeSafeFetch({ allowLoopback: false, allowPrivateTargets: parseRanges('') });
  closers.push(() => strict.close());
  await ground.destination(inside.url);
  const notify = startNotify({
    sql: ground.sql,
    log: makeLog('error'),
    vault: ground.vault,
    safeFetch: strict,
    pollMs: 20,
  });
  closers.push(() => notify.stop());
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  const row = await until(
    'the attempt is kept',
    async () => (await ground.sql`select outcome, answer from attempts`)[0],
  );
  assert.deepEqual({ ...row }, { outcome: 'blocked', answer: 'the host leads to a loopback address' });
  assert.equal(inside.connections(), 0);
});

test('above the guard notifications coalesce, and the last state arrives', async () => {
  await fresh();
  await ground.setting('max_notifications_per_minute', 10);
  const target = await receiver();
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  const message = await ground.message(['https://a.test', 'https://b.test']);
  const others = await ground.message(['https://a.test']);
  const clicks = Array.from({ length: 100 }, (_, at) => ({ link: at % 2, at: clock.ms }));
  await ground.happen(message, ...clicks.slice(0, 60));
  await ground.happen(others, { link: 0, at: clock.ms });
  notify.wakeFanout();
  await target.arrived(11); // ten of the one message and one of the other
  await ground.happen(message, ...clicks.slice(60));
  notify.wakeFanout();
  await until('the outbox is empty', async () => (await ground.sql`select from outbox`).length === 0);
  const waiting = await ground.sql<{ sequence: number }[]>`
    select n.sequence from pending_deliveries p join notifications n on n.id = p.notification_id
    where p.claimed_until is null`;
  assert.deepEqual([...waiting], [{ sequence: 99 }]);
  clock.ms += 6_000; // a tenth of a minute
  notify.wakeDeliver();
  const all = await target.arrived(12);
  assert.deepEqual(json(all[11]).data.object.link_data, [
    { count: 50, url: 'https://a.test' },
    { count: 50, url: 'https://b.test' },
  ]);
  await rested('delivered', 12);
  assert.equal((await ground.sql`select from coalescing_notifications`).length, 0);
  assert.equal(notify.counts.coalesced, 90);

  // Claimed is closed: what comes later is told by another notification.
  await ground.happen(message, { link: 0, at: clock.ms });
  notify.wakeFanout();
  await until('a new one waits', async () => (await ground.sql`select from coalescing_notifications`).length === 1);
  clock.ms += 6_000;
  notify.wakeDeliver();
  const last = (await target.arrived(13))[12];
  assert.deepEqual(json(last).data.object.link_data.at(0), { count: 51, url: 'https://a.test' });

  // A minute later the guard is open again.
  clock.ms += 61_000;
  await ground.happen(message, { link: 1, at: clock.ms });
  notify.wakeFanout();
  await target.arrived(14);
  assert.equal(target.deliveries.length, 14);
});

test('two processes share the work and deliver nothing twice', async () => {
  await fresh();
  const target = await receiver();
  await ground.destination(target.url);
  const message = await ground.message();
  const both = [start(), start()];
  for (let batch = 0; batch < 10; batch++) {
    await ground.happen(message, ...Array.from({ length: 20 }, () => ({})));
    for (const one of both) one.wakeFanout();
  }
  await target.arrived(200);
  await rested('delivered', 200);
  assert.equal(target.deliveries.length, 200);
  const told = target.deliveries.map((request) => json(request).data.object.message_data.count);
  assert.deepEqual(
    told.sort((a, b) => a - b),
    Array.from({ length: 200 }, (_, at) => at + 1),
  );
});

test('stop waits for what is in flight', async () => {
  await fresh();
  const held: (() => void)[] = [];
  const target = await receiver((_request, response) => void held.push(() => response.writeHead(200).end()));
  await ground.destination(target.url);
  const notify = start();
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await target.arrived(1);
  const stopped = notify.stop();
  for (const answer of held) answer();
  await stopped;
  assert.equal((await ground.sql`select from deliveries where state = 'delivered'`).length, 1);
  assert.equal(notify.counts.inFlight, 0);
});
