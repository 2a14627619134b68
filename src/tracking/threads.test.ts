import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { addMessages, addOwner, type Owner, prepareLedger } from '../../test/support/recording.ts';
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { uuidv7 } from '../ids.ts';
import {
  keepThreadKey,
  type MailboxOf,
  messagesByIds,
  openMessages,
  type TrackedRow,
  touchThreads,
} from './threads.ts';

const DAY_MS = 86_400_000;

let sql: Sql;
let drop: () => Promise<void>;
let owner: Owner;
let mailbox: MailboxOf;

before(async () => {
  ({ sql, drop } = await testDatabase(prepareLedger));
});
after(() => drop());
beforeEach(async () => {
  owner = await addOwner(sql);
  const [grant] = await sql<{ id: string }[]>`select id from grants where serial = ${owner.grant}`;
  mailbox = { app: owner.app, grantId: grant?.id ?? '' };
});

async function message(
  of: { subject?: string; daysAgo?: number; state?: string; tracked?: boolean } = {},
): Promise<string> {
  const [id = ''] = await addMessages(sql, owner, 1, 0);
  const at = new Date(Date.now() - (of.daysAgo ?? 0) * DAY_MS).toISOString();
  await sql`
    update messages set subject = ${of.subject ?? ''}, state = ${of.state ?? 'sent'}, created_at = ${at}, state_at = ${at},
      thread_replies = ${of.tracked ?? true}
    where id = ${id}`;
  return id;
}

async function read(id: string): Promise<TrackedRow> {
  const row = (await messagesByIds(sql, mailbox, [id])).get(id);
  assert.ok(row);
  return row;
}

const touch = (...written: { id: string; at: Date }[]): Promise<void> =>
  transaction(sql, (tx) => touchThreads(tx, owner.app, written));

test('a thread was last written in when it last was, in whatever order that is heard of', async () => {
  const id = await message({ daysAgo: 10 });
  const day = (ago: number): Date => new Date(Date.now() - ago * DAY_MS);
  const sent = (await read(id)).lastAt;
  await touch({ id, at: day(20) });
  assert.deepEqual((await read(id)).lastAt, sent, 'written in before it was sent, by a clock that is wrong');
  const [third, second] = [day(3), day(2)];
  await touch({ id, at: second }, { id, at: third });
  await touch({ id, at: third });
  assert.deepEqual((await read(id)).lastAt, second);
  await touch({ id, at: day(-400) });
  assert.ok(
    Math.abs((await read(id)).lastAt.getTime() - Date.now()) < 60_000,
    'no window is kept open by a wrong clock',
  );
  await touch();
});

test("another application's messages are not touched", async () => {
  const id = await message({ daysAgo: 10 });
  const { lastAt } = await read(id);
  const at = new Date();
  await transaction(sql, (tx) => touchThreads(tx, owner.app + 1000, [{ id, at }]));
  await transaction(sql, (tx) => keepThreadKey(tx, owner.app + 1000, id, 'key'));
  assert.deepEqual([(await read(id)).lastAt, (await read(id)).threadKey], [lastAt, null]);
});

test("the provider's name for a thread is kept once, and never one that cannot be", async () => {
  const id = await message();
  for (const key of ['', 'a\0b', 'x'.repeat(3_000), '190a', '190b']) {
    await transaction(sql, (tx) => keepThreadKey(tx, owner.app, id, key));
  }
  assert.equal((await read(id)).threadKey, '190a');
});

test('open are the tracked messages sent or written to within the window', async () => {
  assert.deepEqual(await openMessages(sql, owner.app, mailbox.grantId, 90), { subjects: [], oldest: null });
  await message({ subject: 'Old', daysAgo: 95 });
  const kept = await message({ subject: 'Kept open', daysAgo: 95 });
  await touch({ id: kept, at: new Date(Date.now() - 5 * DAY_MS) });
  await message({ subject: 'Untracked', tracked: false });
  await message({ subject: 'Failed', state: 'failed' });
  await message({ subject: '' });
  const first = await message({ subject: 'Re: Offer', daysAgo: 80 });
  await message({ subject: 'offer', daysAgo: 70 });
  await message({ subject: 'Being sent', state: 'sending' });
  await message({ subject: 'Perhaps sent', state: 'unknown', daysAgo: 1 });
  const open = await openMessages(sql, owner.app, mailbox.grantId, 90);
  assert.deepEqual(open.subjects, ['being sent', 'perhaps sent', 'kept open', 'offer']);
  assert.deepEqual(open.oldest, (await read(first)).createdAt);
  assert.deepEqual(await openMessages(sql, owner.app, uuidv7(), 90), { subjects: [], oldest: null });
});
