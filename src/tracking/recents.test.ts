import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { addMessages, addOwner, makeHit, type Owner, prepareLedger } from '../../test/support/recording.ts';
import { ensurePartitions } from '../db/partitions.ts';
import type { Query, Sql } from '../db/pool.ts';
import { uuidv7 } from '../ids.ts';
import type { Trigger } from './events.ts';
import { hitBatches } from './hit-batch.ts';
import { linkUrls, type RecentEvent, recents } from './recents.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
let sql: Sql;
let drop: () => Promise<void>;
let owner: Owner;

before(async () => {
  ({ sql, drop } = await testDatabase(prepareLedger));
  owner = await addOwner(sql);
});
after(() => drop());

test('the newest 50 up to a sequence, oldest first, without uncounted ones or those of the other trigger', async () => {
  const [message = ''] = await addMessages(sql, owner, 1, 2);
  const start = Date.now() - 100_000;
  const at = (index: number): Date => new Date(start + index * 1000);
  await hitBatches(sql).record(
    Array.from({ length: 70 }, (_, index) => [
      makeHit(owner, message, { at: at(index), link: index % 2, ip: `192.0.2.${index}` }),
      makeHit(owner, message, { at: at(index), link: 0, method: 'HEAD' }),
      makeHit(owner, message, { at: at(index) }),
    ]).flat(),
    Date.now(),
  );
  const sequences = async (upTo: number): Promise<number[]> =>
    (await recentsOf(sql, message, 'message.link_clicked', upTo)).map((event) => event.sequence);
  const range = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_, index) => from + index);
  assert.deepEqual(await sequences(69), range(20, 69));
  assert.deepEqual(await sequences(50), range(1, 50));
  assert.deepEqual(await sequences(49), range(0, 49));
  assert.deepEqual(await sequences(0), [0]);
  const [first, second] = await recentsOf(sql, message, 'message.link_clicked', 1);
  assert.equal(first?.linkIndex, 0);
  assert.deepEqual(second, {
    sequence: 1,
    linkIndex: 1,
    happenedAt: at(1),
    ip: '192.0.2.1',
    userAgent: makeHit(owner, message).userAgent,
    class: 'unknown',
    reasons: [],
  });
  assert.equal((await recentsOf(sql, message, 'message.opened', 0))[0]?.linkIndex, null);
});

test('addresses come as written, by link index', async () => {
  const [message = ''] = await addMessages(sql, owner, 1, 2);
  await sql`
    insert into links (app, message_id, link_index, url)
    values (${owner.app}, ${message}, 1, 'mailto:help@shop.test'), (${owner.app}, ${message}, 0, 'https://shop.test')`;
  const [other = ''] = await addMessages(sql, owner, 1, 1);
  await sql`insert into links (app, message_id, link_index, url) values (${owner.app}, ${other}, 0, 'https://other.test')`;
  const asked = [message, uuidv7(), other, message].map((messageId) => ({ app: owner.app, messageId }));
  const urls = ['https://shop.test', 'mailto:help@shop.test'];
  assert.deepEqual(await linkUrls(sql, asked), [urls, [], ['https://other.test'], urls]);
  assert.deepEqual(await linkUrls(sql, [{ app: owner.app + 1, messageId: message }]), [[]]);
});

test('hits from before their message are found: up to a day, and any time when its clock was ahead', async () => {
  const now = Date.now();
  for (const [made, hit] of [
    [now, now - DAY_MS + 60_000],
    [now + 20 * DAY_MS, now - 5 * DAY_MS],
  ] as const) {
    const [message = ''] = await addMessages(sql, owner, 1, 0, [uuidv7(made)]);
    await hitBatches(sql).record([makeHit(owner, message, { at: new Date(hit) })], now);
    const found = await recentsOf(sql, message, 'message.opened', 0);
    assert.deepEqual(
      found.map(({ happenedAt }) => happenedAt.getTime()),
      [hit],
    );
  }
});

test('of several messages each gets its own, in the order asked for', async () => {
  const now = Date.now();
  const [first = '', second = ''] = await addMessages(sql, owner, 2, 1);
  const early = uuidv7(now + 20 * DAY_MS); // its clock was ahead: it is looked for again
  await addMessages(sql, owner, 1, 0, [early]);
  await hitBatches(sql).record(
    [makeHit(owner, first), makeHit(owner, second), makeHit(owner, second), makeHit(owner, early)],
    now,
  );
  const extent = (messageId: string, sequence: number) => ({
    app: owner.app,
    messageId,
    trigger: 'message.opened' as const,
    sequence,
  });
  const asked = [extent(second, 1), extent(early, 0), extent(uuidv7(), 3), extent(second, 0), extent(first, 0)];
  const found = await recents(sql, asked);
  assert.deepEqual(
    found.map((events) => events.map(({ sequence }) => sequence)),
    [[0, 1], [0], [], [0], [0]],
  );
  assert.deepEqual(await recents(sql, []), []);
});

test('recents are read through the index, in partitions since their message', async () => {
  await ensurePartitions(sql, Date.now() - 700 * DAY_MS, 99, ['events']);
  const messages = await addMessages(sql, owner, 200, 0);
  const batches = hitBatches(sql);
  for (let round = 0; round < 10; round++) {
    await batches.record(
      messages.map((message) => makeHit(owner, message)),
      Date.now(),
    );
  }
  await sql`analyze events`;
  // The statement as the driver sends it, from the log of a connection that asks for its plan.
  const plans: string[] = [];
  const explaining = new Proxy(sql, {
    apply(target, self, [strings, ...values]: [TemplateStringsArray, ...unknown[]]) {
      const explained = Object.assign([`explain ${strings[0] ?? ''}`, ...strings.slice(1)], { raw: strings.raw });
      return Reflect.apply(target, self, [explained, ...values]).then((rows: { 'QUERY PLAN': string }[]) => {
        plans.push(...rows.map((row) => row['QUERY PLAN']));
        return Reflect.apply(target, self, [strings, ...values]);
      });
    },
  });
  assert.equal((await recentsOf(explaining, messages[0] ?? '', 'message.opened', 9)).length, 10);
  const partitions = new Set(plans.flatMap((line) => /on (events_w\d+)/.exec(line)?.[1] ?? []));
  // That of yesterday, and those made ahead.
  assert.ok(partitions.size >= 1 && partitions.size <= 7, [...partitions].join());
  // A partition known to be empty costs nothing either way.
  const plan = plans.filter((line) => !line.includes('cost=0.00..0.00')).join('\n');
  assert.match(plan, /Index Scan/);
  assert.doesNotMatch(plan, /Seq Scan|Bitmap/, plan);
  assert.match(plan, /trigger.*sequence/, plan);
});

async function recentsOf(db: Query, messageId: string, trigger: Trigger, sequence: number): Promise<RecentEvent[]> {
  const [events = []] = await recents(db, [{ app: owner.app, messageId, trigger, sequence }]);
  return events;
}
