import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DOWN, OK, tried } from '../../test/support/attempts.ts';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { notifyRun, until } from '../../test/support/notify-run.ts';
import { transaction } from '../db/transaction.ts';
import type { Outcome } from './destination.ts';
import { fanOut } from './fanout.ts';
import { startHealth } from './health.ts';
import { BUCKET_MS } from './standing.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const THRESHOLDS = { failingMinutes: 15, failedHours: 72, failurePercent: 95 };
const T = Math.floor(Date.now() / BUCKET_MS) * BUCKET_MS;

test('one that is down is failing after a quarter of an hour, and active again once it answers', async (t) => {
  const { look, attempt, status, recipients } = await site(t);
  await recipients('ops@example.com');
  for (let at = T - 30 * MINUTE_MS; at < T; at += MINUTE_MS) await attempt(at, OK);
  for (let minute = 0; minute < 15; minute++) {
    await attempt(T + minute * MINUTE_MS);
    await look(T + minute * MINUTE_MS + 1);
    assert.equal(await status(), 'active', `after ${minute} minutes`);
  }
  await attempt(T + 15 * MINUTE_MS);
  const { lines, notices } = await look(T + 15 * MINUTE_MS + 1);
  assert.equal(await status(), 'failing');
  assert.deepEqual(notices, ['failing']);
  assert.equal(lines.length, 1);
  assert.deepEqual(
    { ...lines[0], destination: null },
    {
      destination: null,
      event: 'destination.changed',
      from: 'active',
      to: 'failing',
      succeeded: 0,
      failed: 16,
      mail: 1,
    },
  );
  await attempt(T + 17 * MINUTE_MS, OK);
  const recovered = await look(T + 17 * MINUTE_MS + 1);
  assert.equal(await status(), 'active');
  assert.deepEqual(recovered.notices, []); // what was not sent yet is over
  assert.deepEqual(
    recovered.lines.map(({ to }) => to),
    ['active'],
  );
  await attempt(T + 18 * MINUTE_MS);
  await look(T + 18 * MINUTE_MS + 1);
  assert.equal(await status(), 'active');
});

test('a blip is no failing, however many attempts failed in it and however long nothing follows', async (t) => {
  const { look, attempt, status } = await site(t);
  for (let second = 0; second < 60; second++) await attempt(T + second * 1000);
  for (const minutes of [1, 10, 15, 16, 60]) {
    await look(T + minutes * MINUTE_MS);
    assert.equal(await status(), 'active', `after ${minutes} minutes`);
  }
});

test('the attempts of one notification suffice where there is no other: the fifth comes after two and a half hours', async (t) => {
  const { look, attempt, status } = await site(t);
  await attempt(T - 2 * HOUR_MS, OK);
  const waits = [0, 5_000, 5 * MINUTE_MS, 35 * MINUTE_MS, 155 * MINUTE_MS];
  for (const wait of waits.slice(0, 4)) {
    await attempt(T + wait);
    await look(T + wait + 1);
    assert.equal(await status(), 'active');
  }
  await attempt(T + 155 * MINUTE_MS);
  await look(T + 155 * MINUTE_MS + 1);
  assert.equal(await status(), 'failing');
});

test('one that fails for 72 hours has failed: its events are held, and it never comes back by itself', async (t) => {
  const place = await site(t);
  const { ground, look, attempt, status, recipients, becomes } = place;
  const { sql } = ground;
  await recipients('ops@example.com', 'dev@example.com', 'ops@example.com');
  await becomes('failing', T);
  for (let hour = 1; hour < 72; hour++) {
    await attempt(T + hour * HOUR_MS);
    await look(T + hour * HOUR_MS + 1);
  }
  assert.equal(await status(), 'failing');
  // Nothing to deliver for some hours: it is not given up for that.
  await look(T + 80 * HOUR_MS);
  assert.equal(await status(), 'failing');
  await attempt(T + 81 * HOUR_MS);
  const { notices, lines } = await look(T + 81 * HOUR_MS + 1);
  assert.equal(await status(), 'failed');
  assert.deepEqual(notices, ['failed', 'failed']); // to each a mail of their own
  assert.deepEqual(
    lines.map(({ failed, mail }) => [failed, mail]),
    [[72, 3]],
  );
  assert.deepEqual(
    (await sql`select recipients from destination_notices order by recipients`).map((row) => row.recipients),
    [['dev@example.com'], ['ops@example.com']],
  );

  await ground.happen(await ground.message(), {});
  const told = await fanOut({ sql, log: { error: () => {} }, now: Date.now() }, 100);
  assert.equal(told.held, 1);
  for (let minute = 0; minute < 30; minute++) await attempt(T + 81 * HOUR_MS + minute * MINUTE_MS, OK); // late results
  await look(T + 82 * HOUR_MS);
  assert.equal(await status(), 'failed');
});

test('long ago and just now is no failing all the time: it takes failures in each third of the 72 hours', async (t) => {
  const { look, attempt, status, becomes } = await site(t);
  await becomes('failing', T);
  const at = async (hours: number): Promise<string> => {
    await attempt(T + hours * HOUR_MS);
    await look(T + hours * HOUR_MS + 1);
    return await status();
  };
  for (let minute = 1; minute <= 5; minute++) await attempt(T + minute * MINUTE_MS);
  // We were down, or there was nothing to send.
  assert.equal(await at(80), 'failing');
  for (const hours of [81, 90, 103]) assert.equal(await at(hours), 'failing');
  assert.equal(await at(110), 'failing');
  assert.equal(await at(127), 'failing'); // the first third, from 55 to 79, is still empty
  assert.equal(await at(129), 'failed');
});

test('made active again it is judged by what comes afterwards', async (t) => {
  const { look, attempt, status, becomes } = await site(t);
  for (let minute = 0; minute < 60; minute++) await attempt(T + minute * MINUTE_MS);
  const again = T + 61 * MINUTE_MS; // in the five minutes after those
  await becomes('active', again);
  for (let minute = 1; minute < 15; minute++) {
    await attempt(again + minute * MINUTE_MS);
    await look(again + minute * MINUTE_MS + 1);
    assert.equal(await status(), 'active', `after ${minute} minutes`);
  }
  for (let minute = 15; minute <= 19; minute++) await attempt(again + minute * MINUTE_MS);
  await look(again + 19 * MINUTE_MS + 1);
  assert.equal(await status(), 'failing');
});

test('by real deliveries: a receiver that goes down is called failing, and active once it is back', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const { sql } = ground;
  const target = await receiver();
  const { id } = await ground.destination(target.url);
  const clock = { ms: Date.now() };
  await sql`update destinations set status_updated_at = ${new Date(clock.ms - HOUR_MS)}`;
  const notify = start({ clock });
  const message = await ground.message();
  const status = async (): Promise<unknown> => (await sql`select status from destinations where id = ${id}`)[0]?.status;
  let attempts = 0;
  const minute = async (): Promise<void> => {
    clock.ms += MINUTE_MS + 1000; // the longest wait of a probe
    await ground.happen(message, {});
    notify.wakeFanout();
    let looks = 0;
    attempts = await until('another attempt', async () => {
      const [row] = await sql<{ count: number }[]>`select count(*)::integer as count from attempts`;
      if (row !== undefined && row.count > attempts && notify.counts.inFlight === 0) return row.count;
      if (++looks % 100 !== 0) return null;
      clock.ms += MINUTE_MS; // an attempt that ended after the clock had moved lets the next one wait longer
      notify.wakeDeliver();
      return null;
    });
    await look(ground, clock.ms);
  };
  for (let count = 0; count < 5; count++) await minute();
  target.behave((_request, response) => void response.writeHead(500).end());
  const down = clock.ms;
  for (let count = 0; (await status()) === 'active' && count < 40; count++) await minute();
  assert.equal(await status(), 'failing');
  const minutes = (clock.ms - down) / MINUTE_MS;
  assert.ok(minutes >= 15 && minutes <= 30, `after ${minutes} minutes`);
  target.behave((_request, response) => void response.writeHead(200).end());
  await minute();
  await minute();
  assert.equal(await status(), 'active');
});

test('a paused one is left alone', async (t) => {
  const { look, attempt, status, becomes } = await site(t);
  await becomes('paused', T - HOUR_MS);
  for (let minute = 0; minute <= 15; minute++) await attempt(T + minute * MINUTE_MS);
  assert.deepEqual((await look(T + 15 * MINUTE_MS + 1)).lines, []);
  assert.equal(await status(), 'paused');
});

test('of several processes one makes the change and writes the notice', async (t) => {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  const { sql, app } = ground;
  for (let at = 0; at < 10; at++) {
    const { id } = await ground.destination(`https://receiver.test/${at}`);
    await sql`update destinations set notification_emails = '{ops@example.com}', status_updated_at = 'epoch'`;
    await tried(sql, ...[0, 5, 5, 10, 15].map((m) => ({ app, destinationId: id, at: T + m * MINUTE_MS })));
  }
  const looks = await Promise.all([1, 2, 3].map(() => look(ground, T + 15 * MINUTE_MS)));
  assert.equal((await sql`select from destinations where status = 'failing'`).length, 10);
  assert.equal((await sql`select distinct destination_id from destination_notices`).length, 10);
  assert.equal((await sql`select from destination_notices`).length, 10);
  assert.equal(looks.flatMap(({ lines }) => lines).length, 10);
});

test('one that was made active while it was judged is not failing for what it was forgiven', async (t) => {
  const { ground, look, attempt, status } = await site(t);
  for (const minute of [0, 5, 5, 10, 15]) await attempt(T + minute * MINUTE_MS);
  let looking: Promise<Look> | undefined;
  await transaction(ground.sql, async (tx) => {
    await tx`update destinations set status_updated_at = ${new Date(T + 16 * MINUTE_MS)}`;
    looking = look(T + 16 * MINUTE_MS);
    await until('the change waits', async () => {
      const waiting = await ground.sql`
        select from pg_stat_activity where wait_event_type = 'Lock' and query like '%update destinations set status%'`;
      return waiting.length > 0;
    });
  });
  assert.deepEqual((await looking)?.lines, []);
  assert.equal(await status(), 'active');
});

test('what was written by a clock that had jumped ahead makes no blip long', async (t) => {
  const { look, attempt, status } = await site(t);
  await attempt(T + 24 * HOUR_MS);
  for (let second = 0; second < 5; second++) await attempt(T + second * 1000);
  await look(T + 6_000);
  assert.equal(await status(), 'active');
});

test('the shortest threshold is no second or two', async (t) => {
  const { ground, attempt, status } = await site(t);
  const thresholds = { ...THRESHOLDS, failingMinutes: 5 };
  for (let at = 0; at < 10; at++) await attempt(T - 1_000 + at * 200);
  await look(ground, T + 2_000, true, thresholds);
  assert.equal(await status(), 'active');
  await attempt(T + 5 * MINUTE_MS);
  await look(ground, T + 5 * MINUTE_MS + 1, true, thresholds);
  assert.equal(await status(), 'failing');
});

test('without a mail server the log alone tells of it', async (t) => {
  const { ground, attempt, status, recipients } = await site(t);
  await recipients('ops@example.com');
  for (const minute of [0, 5, 5, 10, 15]) await attempt(T + minute * MINUTE_MS);
  const { lines, notices } = await look(ground, T + 15 * MINUTE_MS, false);
  assert.equal(await status(), 'failing');
  assert.deepEqual(notices, []);
  assert.match(String(lines[0]?.mail), /TELLTALE_SMTP_URL/);
});

test('what is too old to matter is removed, and what a deleted destination left', async (t) => {
  const { ground, look, attempt } = await site(t);
  const { sql, app } = ground;
  for (const hours of [200, 100, 97, 95, 1]) await attempt(T - hours * HOUR_MS);
  const gone = await ground.destination('https://receiver.test/gone');
  await tried(sql, { app, destinationId: gone.id, at: T });
  await sql`delete from destinations where id = ${gone.id}`;
  await look(T);
  const left = await sql<{ bucket: Date }[]>`select bucket from destination_health order by bucket`;
  assert.deepEqual(
    left.map(({ bucket }) => (T - bucket.getTime()) / HOUR_MS),
    [95, 1],
  );
  assert.equal((await sql`select from destination_counters`).length, 1);
});

test('what waits for a destination that is gone is swept, of others nothing', async (t) => {
  const { ground, look } = await site(t);
  const { sql, app } = ground;
  const [here] = await sql`select id from destinations`;
  const queued = async (destination: string, count: number): Promise<void> => {
    await sql`
      insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
      select ${app}::integer, ${destination}::uuid, gen_random_uuid(), now() from generate_series(1, ${count})`;
  };
  for (const [destination, count] of [
    ['00000000-0000-7000-8000-000000000001', 3],
    [String(here?.id), 2],
    ['ffffffff-0000-7000-8000-000000000001', 12_000],
  ] as const) {
    await queued(destination, count);
  }
  const left: number[] = [];
  for (let run = 0; run < 3; run++) {
    await look(T);
    left.push((await sql`select from pending_deliveries`).length);
  }
  assert.deepEqual(left, [7_005, 2_005, 2]);
  assert.equal((await sql`select from pending_deliveries where destination_id = ${String(here?.id)}`).length, 2);
});

interface Site {
  readonly ground: NotifyGround;
  /** What one run at that time did. */
  look(at: number): Promise<Look>;
  attempt(at: number, outcome?: Outcome): Promise<void>;
  status(): Promise<string>;
  recipients(...addresses: readonly string[]): Promise<void>;
  becomes(status: string, at: number): Promise<void>;
}

interface Look {
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  /** The status each of those that wait tells of. */
  readonly notices: readonly string[];
}

/** One destination that has been active for a day. */
async function site(t: { after(release: () => Promise<void>): void }): Promise<Site> {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  const { sql, app } = ground;
  const { id } = await ground.destination('https://receiver.test/hook');
  const becomes = async (status: string, at: number): Promise<void> => {
    await sql`update destinations set status = ${status}, status_updated_at = ${new Date(at)} where id = ${id}`;
  };
  await becomes('active', T - 24 * HOUR_MS);
  return {
    ground,
    look: (at) => look(ground, at),
    attempt: (at, outcome = DOWN) => tried(sql, { app, destinationId: id, at, outcome }),
    async status() {
      return String((await sql`select status from destinations where id = ${id}`)[0]?.status);
    },
    async recipients(...addresses) {
      await sql`update destinations set notification_emails = ${[...addresses]} where id = ${id}`;
    },
    becomes,
  };
}

async function look({ sql }: NotifyGround, at: number, canMail = true, thresholds = THRESHOLDS): Promise<Look> {
  const lines: Record<string, unknown>[] = [];
  const health = startHealth({
    sql,
    log: {
      info: () => {},
      warn: (fields: object, event?: string) => void lines.push({ ...fields, event }),
      error: (fields: object) => assert.fail(JSON.stringify(fields)),
    },
    clock: { now: () => at, keep: async () => {} },
    thresholds,
    canMail,
    everyMs: HOUR_MS,
  });
  await health.stop(); // after its first run
  const notices = await sql<{ status: string }[]>`select status from destination_notices`;
  return { lines, notices: notices.map(({ status }) => status) };
}
