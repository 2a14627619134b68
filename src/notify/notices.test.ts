import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { DOWN, OK, tried } from '../../test/support/attempts.ts';
import { type LetterBox, startLetterBox } from '../../test/support/letter-box.ts';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { until } from '../../test/support/notify-run.ts';
import { uuidv7 } from '../ids.ts';
import { makePostman } from '../providers/postman.ts';
import { startHealth } from './health.ts';
import { type Notices, startNotices } from './notices.ts';
import { BUCKET_MS } from './standing.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const T = Date.now();

test('one mail for one change, with what is known of it', async (t) => {
  const { ground, notice, start, letterBox } = await site(t);
  const { sql, app } = ground;
  const box = await letterBox();
  const id = await notice('failing', ['ops@example.com', 'dev@example.com']);
  const [destination] = await sql`select id from destinations`;
  const at = (ms: number): { app: number; destinationId: string; at: number } => ({
    app,
    destinationId: String(destination?.id),
    at: ms,
  });
  await tried(sql, { ...at(T - HOUR_MS), outcome: OK }, at(T - MINUTE_MS), {
    ...at(T - 2 * MINUTE_MS),
    outcome: { ...DOWN, status: 500 },
  });
  start(box);
  const letter = await until('the mail', async () => box.letters[0]);
  assert.match(letter, new RegExp(`^Message-ID: <${id}@example\\.com>\r$`, 'm'));
  assert.match(letter, /^Subject: Webhook is failing: Orders \(shop\)\r$/m);
  assert.match(letter, /^Address: https:\/\/receiver\.test\/hook\r$/m);
  assert.match(letter, /^Last failure on record: .* UTC, status 503: down\r$/m);
  assert.doesNotMatch(letter, /^Last success: never/m);
  assert.deepEqual(box.recipients, [['ops@example.com', 'dev@example.com']]);
  await gone(ground);
  assert.equal(box.letters.length, 1);
});

test('a mail server that is down gets it later, once, also over a restart', async (t) => {
  const { ground, notice, start, letterBox, clock, lines, due } = await site(t);
  const down = await letterBox();
  await down.close();
  await notice('failing', ['ops@example.com']);
  let notices = start(down);
  for (const minutes of [1, 2, 4, 8, 16, 32, 60, 60]) {
    const next = await until('it was put back', async () => {
      const at = await due();
      return at === clock.ms + minutes * MINUTE_MS ? at : null;
    });
    clock.ms = next - 1;
    await run(notices); // a moment before it is due nothing is tried
    assert.equal(await due(), next);
    await notices.stop();
    clock.ms = next;
    notices = start(down);
  }
  const up = await letterBox(down.port);
  clock.ms += HOUR_MS;
  await until('the mail', async () => {
    notices.wake();
    return up.letters.length > 0;
  });
  await gone(ground);
  await run(notices);
  assert.equal(up.letters.length, 1);
  assert.deepEqual([...new Set(lines)], ['notice.failed', 'notice.sent']);
});

test('given up after a day, and said so', async (t) => {
  const { ground, notice, start, letterBox, clock, lines } = await site(t);
  const box = await letterBox();
  box.answer({ code: 550, text: '5.7.1 No' });
  await notice('failed', ['ops@example.com']);
  const notices = start(box);
  await until('a first attempt', async () => lines.length === 1);
  clock.ms += 24 * HOUR_MS;
  notices.wake();
  await gone(ground);
  await until('the log', async () => lines.length === 2);
  assert.deepEqual(lines, ['notice.failed', 'notice.given_up']);
});

test('of what is over nobody is told', async (t) => {
  const { ground, notice, start, letterBox, lines } = await site(t);
  const { sql } = ground;
  const box = await letterBox();
  await notice('failing', ['ops@example.com']);
  await sql`update destinations set status = 'active'`;
  await sql`
    insert into destination_notices (app, id, destination_id, status, recipients, next_attempt_at, created_at)
    values (${ground.app}, ${uuidv7()}, ${uuidv7()}, 'failed', '{ops@example.com}', 'epoch', 'epoch')`; // deleted
  start(box);
  await gone(ground);
  await until('the log', async () => lines.length === 2);
  assert.deepEqual(lines, ['notice.outdated', 'notice.outdated']);
  assert.equal(box.letters.length, 0);
});

test('to each a mail of their own: one that is refused for now is told later, the others at once', async (t) => {
  const { ground, start, letterBox, clock, lines } = await site(t);
  const { sql, app } = ground;
  const { id } = await ground.destination('https://receiver.test/hook');
  await sql`
    update destinations set notification_emails = '{dev@example.com,ops@example.com}', status_updated_at = 'epoch'`;
  const bucket = Math.floor(T / BUCKET_MS) * BUCKET_MS;
  await tried(sql, ...[15, 10, 5, 5, 0].map((m) => ({ app, destinationId: id, at: bucket - m * MINUTE_MS })));
  const box = await letterBox();
  box.refuse((address) => address === 'dev@example.com');
  const notices = start(box);
  const health = startHealth({
    sql,
    log: { info: () => {}, warn: () => {}, error: (fields: object) => assert.fail(JSON.stringify(fields)) },
    clock: { now: () => clock.ms, keep: async () => {} },
    thresholds: { failingMinutes: 15, failedHours: 72, failurePercent: 95 },
    canMail: true,
    onNotices: () => notices.wake(),
    everyMs: HOUR_MS,
  });
  await until('both were tried', async () => {
    notices.wake();
    return lines.length === 2;
  });
  await health.stop();
  assert.deepEqual(lines.toSorted(), ['notice.failed', 'notice.sent']);
  assert.deepEqual(box.recipients, [['ops@example.com']]);
  assert.doesNotMatch(box.letters[0] ?? '', /dev@/);
  box.refuse(() => false);
  clock.ms += MINUTE_MS;
  notices.wake();
  await gone(ground);
  assert.deepEqual(box.recipients, [['ops@example.com'], ['dev@example.com']]);
});

test('several processes send it once', async (t) => {
  const { ground, notice, start, letterBox } = await site(t);
  const box = await letterBox();
  for (let count = 0; count < 5; count++) await notice('failing', ['ops@example.com']);
  for (let count = 0; count < 3; count++) start(box);
  await gone(ground);
  assert.equal(box.letters.length, 5);
  assert.equal(new Set(box.letters.map((letter) => /^Message-ID: .*$/m.exec(letter)?.[0])).size, 5);
});

test('a stop breaks the mail under way off, and it is due again at once; of a kill, after its claim', async (t) => {
  const { ground, notice, start, letterBox, clock, due } = await site(t);
  const box = await letterBox();
  box.answer('hang');
  await notice('failing', ['ops@example.com']);
  const given = box.given();
  const stopped = start(box);
  await given;
  assert.equal(await due(), clock.ms + 5 * MINUTE_MS); // what a kill would leave
  await stopped.stop();
  assert.equal(await due(), clock.ms);
  box.answer(null);
  start(box);
  await gone(ground);
  assert.equal(box.letters.length, 1);
});

interface Site {
  readonly ground: NotifyGround;
  readonly clock: { ms: number };
  /** Events of the log. */
  readonly lines: readonly string[];
  /** Writes one down, of a destination of its own; answers its id. */
  notice(status: 'failing' | 'failed', recipients: readonly string[]): Promise<string>;
  letterBox(port?: number): Promise<LetterBox>;
  start(box: LetterBox): Notices;
  /** When the one that waits is due. */
  due(): Promise<number>;
}

async function site(t: TestContext): Promise<Site> {
  const ground = await notifyGround();
  const { sql, app } = ground;
  const clock = { ms: T };
  const lines: string[] = [];
  const releases: (() => Promise<void>)[] = [() => ground.drop()];
  t.after(async () => {
    for (const release of releases.reverse()) await release();
  });
  const say = (_fields: object, event?: string): void => void lines.push(event ?? '');
  let count = 0;
  return {
    ground,
    clock,
    lines,
    async notice(status, recipients) {
      const { id } = await ground.destination(`https://receiver.test/hook?token=${count++}`);
      await sql`update destinations set description = 'Orders', status = ${status} where id = ${id}`;
      const notice = uuidv7();
      await sql`
        insert into destination_notices (app, id, destination_id, status, recipients, next_attempt_at, created_at)
        values (${app}, ${notice}, ${id}, ${status}, ${[...recipients]}, ${new Date(T)}, ${new Date(T)})`;
      return notice;
    },
    async letterBox(port = 0) {
      const box = await startLetterBox({ port });
      releases.push(() => box.close());
      return box;
    },
    start(box) {
      const notices = startNotices({
        sql,
        log: { info: say, warn: say, error: say },
        clock: { now: () => clock.ms, keep: async () => {} },
        postman: makePostman({ url: `smtp://127.0.0.1:${box.port}`, from: 'telltale@example.com', ca: null }),
        publicUrl: 'https://telltale.example.com',
        pollMs: HOUR_MS,
      });
      releases.push(() => notices.stop());
      return notices;
    },
    async due() {
      const [row] = await sql<{ at: Date }[]>`select next_attempt_at as at from destination_notices`;
      return row?.at.getTime() ?? 0;
    },
  };
}

async function gone({ sql }: NotifyGround): Promise<void> {
  await until('no notice is left', async () => (await sql`select from destination_notices`).length === 0);
}

/** Once more, to its end; nothing runs afterwards. */
async function run(notices: Notices): Promise<void> {
  notices.wake();
  await notices.stop();
}
