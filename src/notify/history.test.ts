import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { rest } from '../../test/support/resting.ts';
import { connect } from '../db/pool.ts';
import { uuidv7 } from '../ids.ts';
import { type DeliveryOrder, listDeliveries, readDelivery } from './delivery-list.ts';
import { listNotifications, type NotificationOrder, readNotification } from './notification-list.ts';
import { type Listing, type Page, readPage } from './windows.ts';

const SECOND_MS = 1_000;

async function grounded(t: { after(release: () => Promise<void>): void }): Promise<NotifyGround & { hook: string }> {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  return { ...ground, hook: (await ground.destination('https://receiver.test/hook')).id };
}

/** All pages of a list, as ids. */
async function every(
  list: (before: string | undefined) => Promise<{ items: readonly { notificationId: string }[]; next: string | null }>,
): Promise<string[]> {
  const ids: string[] = [];
  for (let before: string | undefined | null; before !== null; ) {
    const page = await list(before);
    ids.push(...page.items.map(({ notificationId }) => notificationId));
    before = page.next;
  }
  return ids;
}

test('deliveries of a destination, page by page and by each filter', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const other = (await ground.destination('https://other.test/hook')).id;
  const message = await ground.message();
  const now = Date.now();
  const [a, b, c, d] = await rest(ground, hook, [
    { at: now - 4 * SECOND_MS, state: 'delivered', attempts: 1 },
    { at: now - 3 * SECOND_MS, trigger: 'message.link_clicked', message },
    { at: now - 2 * SECOND_MS, state: 'stopped', attempts: 1, message },
    { at: now - SECOND_MS },
  ]);
  assert.ok(a && b && c && d);
  await rest(ground, other, [{ at: now, message }]);
  // Held, told anew and so pending as well: one delivery, and it is pending.
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, attempts, next_attempt_at, claimed_until)
    values (${app}, ${hook}, ${d}, 1, now() + interval '1 hour', now() + interval '1 hour')`;
  const list = (order: Partial<DeliveryOrder>): Promise<string[]> =>
    every((before) => listDeliveries(sql, app, hook, { limit: 50, before, ...order }));
  assert.deepEqual(await list({}), [d, c, b, a]);
  for (const limit of [1, 3, 4]) {
    assert.deepEqual(await every((before) => listDeliveries(sql, app, hook, { limit, before })), [d, c, b, a]);
  }
  assert.deepEqual(await list({ state: 'pending' }), [d]);
  assert.deepEqual(await list({ state: 'held' }), [b]);
  assert.deepEqual(await list({ state: 'delivered' }), [a]);
  assert.deepEqual(await list({ state: 'stopped' }), [c]);
  assert.deepEqual(await list({ state: 'exhausted' }), []);
  assert.deepEqual(await list({ triggers: ['message.link_clicked'] }), [b]);
  assert.deepEqual(await list({ triggers: ['message.opened'], state: 'stopped' }), [c]);
  assert.deepEqual(await list({ messageId: message }), [c, b]);
  assert.deepEqual(await list({ messageId: message, state: 'held' }), [b]);
  assert.deepEqual(await list({ messageId: uuidv7() }), []);
  assert.deepEqual(await list({ since: now - 3 * SECOND_MS, until: now - SECOND_MS }), [c, b]);
  assert.deepEqual((await listDeliveries(sql, app + 1, hook, { limit: 50 })).items, []);
  const { items } = await listDeliveries(sql, app, hook, { limit: 2, until: now - SECOND_MS });
  const base = {
    destinationId: hook,
    messageId: message,
    grantId: ground.grantId,
    round: 0,
    nextAttemptAt: null,
    lastAttempt: null,
  };
  const settledAt = items[0]?.settledAt;
  assert.ok(settledAt instanceof Date);
  assert.deepEqual(items, [
    { ...base, notificationId: c, trigger: 'message.opened', state: 'stopped', attempts: 1, settledAt },
    {
      ...base,
      notificationId: b,
      trigger: 'message.link_clicked',
      state: 'held',
      attempts: 0,
      settledAt: items[1]?.settledAt,
    },
  ]);
});

test('one delivery and every attempt of it, round by round', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const [id = ''] = await rest(ground, hook, [{ state: 'exhausted', round: 1, attempts: 2 }]);
  const startedAt = new Date('2026-11-22T10:00:00.000Z');
  for (const [round, attempt] of [
    [1, 2],
    [0, 1],
    [1, 1],
  ] as const) {
    await sql`
      insert into attempts (app, destination_id, notification_id, round, attempt, outcome, status_code, started_at,
        duration_ms, answer)
      values (${app}, ${hook}, ${id}, ${round}, ${attempt}, 'status', 503, ${startedAt}, 12, 'no')`;
  }
  const found = await readDelivery(sql, app, hook, id);
  assert.ok(found);
  assert.equal(found.delivery.state, 'exhausted');
  const lastAttempt = { attempt: 2, outcome: 'status', status: 503, startedAt };
  assert.deepEqual(found.delivery.lastAttempt, lastAttempt);
  const { items } = await listDeliveries(sql, app, hook, { limit: 50 });
  assert.deepEqual(items[0]?.lastAttempt, lastAttempt);
  const base = { outcome: 'status', status: 503, answer: 'no', startedAt, durationMs: 12 };
  assert.deepEqual(found.attempts, [
    { round: 0, attempt: 1, ...base },
    { round: 1, attempt: 1, ...base },
    { round: 1, attempt: 2, ...base },
  ]);
  assert.equal(await readDelivery(sql, app, hook, uuidv7()), null);
  assert.equal(await readDelivery(sql, app + 1, hook, id), null);
});

test('notifications of an application, by each filter', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const message = await ground.message();
  const now = Date.now();
  const [opened, clicked, granted] = await rest(ground, hook, [
    { at: now - 3 * SECOND_MS, message },
    { at: now - 2 * SECOND_MS, trigger: 'message.link_clicked' },
    { at: now - SECOND_MS, trigger: 'grant.expired' },
  ]);
  await sql`
    update notifications set message_id = null, sequence = null, subject = ${ground.grantId} where id = ${String(granted)}`;
  const list = (order: Partial<NotificationOrder>): Promise<string[]> =>
    every((before) => listNotifications(sql, app, { limit: 2, before, ...order }));
  assert.deepEqual(await list({}), [granted, clicked, opened]);
  assert.deepEqual(await list({ triggers: ['message.link_clicked', 'grant.expired'] }), [granted, clicked]);
  assert.deepEqual(await list({ messageId: message }), [opened]);
  assert.deepEqual(await list({ grantId: ground.grantId }), [granted, clicked, opened]);
  assert.deepEqual(await list({ grantId: '00000000-0000-4000-8000-000000000000' }), []);
  assert.deepEqual(await list({ since: now - 2 * SECOND_MS, until: now - SECOND_MS }), [clicked]);
  assert.deepEqual((await listNotifications(sql, app + 1, { limit: 50 })).items, []);
});

test('a filter that leaves nothing reads each row twice at most, also while nothing is known of the table', async (t) => {
  const ground = await grounded(t);
  const { app, hook } = ground;
  const count = 50_000;
  const now = Date.now();
  await rest(
    ground,
    hook,
    Array.from({ length: count }, (_, index) => ({ at: now - index })),
  );
  await ground.sql`update notifications set subject = repeat('x', 1500)`; // takes it for a million, by its pages
  const sql = connect(ground.connection, { max: 1 }); // whose figures are asked for below
  t.after(() => sql.end());
  const read = async (): Promise<number> => {
    await sql`select pg_stat_force_next_flush()`;
    const [row] = await sql<{ read: number }[]>`
      select sum(idx_tup_read)::float8 as read from pg_stat_user_indexes where relname like 'notifications_w%'`;
    return row?.read ?? Number.NaN;
  };
  const before = await read();
  const page = await listNotifications(sql, app, { limit: 50, grantId: '00000000-0000-4000-8000-000000000000' });
  assert.deepEqual(page, { items: [], next: null });
  const entries = (await read()) - before;
  assert.ok(entries <= 4.1 * count, `${entries}`); // its old version each time too
});

test('a notification with its payload and all its deliveries, those of deleted destinations too', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const deleted = (await ground.destination('https://deleted.test/hook')).id;
  const served = (await ground.destination('https://served.test/hook')).id;
  const message = await ground.message([], 'offer');
  await ground.happen(message, {});
  const [id = '', another = ''] = await rest(ground, hook, [{ message, state: 'exhausted', attempts: 8 }, { message }]);
  await sql`
    insert into deliveries (app, destination_id, notification_id, state, attempts)
    values (${app}, ${deleted}, ${id}, 'delivered', 2)`;
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
    values (${app}, ${served}, ${id}, now())`;
  await sql`delete from destinations where id = ${deleted}`;
  // Made, and not yet begun anywhere; then tried once here, and just being tried again; then here for the third time.
  const attemptShown = async (): Promise<unknown> =>
    JSON.parse(String((await readNotification(sql, app, id))?.payload)).webhook_delivery_attempt;
  const tried = async (destination: string, attempt: number, at: string): Promise<unknown> =>
    await sql`
    insert into attempts (app, destination_id, notification_id, attempt, outcome, started_at, duration_ms)
    values (${app}, ${destination}, ${id}, ${attempt}, 'timeout', ${at}, 3)`;
  assert.equal(await attemptShown(), 1);
  await tried(served, 1, '2026-11-22T09:00:00Z');
  await sql`update pending_deliveries set attempts = 2 where destination_id = ${served}`;
  assert.equal(await attemptShown(), 1);
  await tried(hook, 8, '2026-11-22T08:00:00Z');
  assert.equal(await attemptShown(), 1, 'the later one');
  await sql`update pending_deliveries set attempts = 0 where destination_id = ${served}`;
  await tried(deleted, 2, '2026-11-22T10:00:00Z');
  const found = await readNotification(sql, app, id);
  assert.ok(found?.payload);
  const payload = JSON.parse(found.payload);
  assert.deepEqual([payload.webhook_delivery_attempt, payload.data.object.label], [2, 'offer']);
  assert.deepEqual(
    found.deliveries.map(({ destinationId, kind, state, attempts, lastAttempt }) => ({
      destinationId,
      kind,
      state,
      attempts,
      last: lastAttempt?.attempt,
    })),
    [
      { destinationId: hook, kind: 'webhook', state: 'exhausted', attempts: 8, last: 8 },
      { destinationId: deleted, kind: null, state: 'delivered', attempts: 2, last: 2 },
      { destinationId: served, kind: 'webhook', state: 'pending', attempts: 0, last: 1 },
    ].sort((x, y) => (x.destinationId < y.destinationId ? -1 : 1)), // ids of one millisecond have no order of their own
  );
  await sql`update notifications set message_id = ${uuidv7()} where id = ${another}`;
  const erased = await readNotification(sql, app, another);
  assert.equal(erased?.payload, null);
  assert.equal(erased.deliveries.length, 1);
  assert.equal(await readNotification(sql, app + 1, id), null);
});

test('a page of a long list ends where enough was looked at, and the next goes on there', async () => {
  const rows = Array.from({ length: 250_000 }, (_, index) => String(999_999 - index)); // newest first
  const wanted = new Set([rows[10], rows[99_999], rows[100_000], rows[249_999]]);
  const listing: Listing<{ readonly notificationId: string }> = {
    edge: async (range, nth) => rows.filter((id) => id >= range.from && id < range.before)[nth - 1] ?? null,
    read: async (range, limit) =>
      rows
        .filter((id) => id >= range.from && id < range.before && wanted.has(id))
        .slice(0, limit)
        .map((notificationId) => ({ notificationId })),
  };
  const pages: string[] = [];
  for (let before: string | null = '~'; before !== null; ) {
    const { items, next }: Page<{ readonly notificationId: string }> = await readPage(
      listing,
      { from: '0', before },
      50,
    );
    pages.push(items.map(({ notificationId }) => notificationId).join(' '));
    before = next;
  }
  assert.deepEqual(pages, [`${rows[10]} ${rows[99_999]}`, `${rows[100_000]}`, `${rows[249_999]}`]);
});
