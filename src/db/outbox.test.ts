import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { migrate } from './migrate.ts';
import { emit, type Fact, take } from './outbox.ts';
import { transaction } from './transaction.ts';

const TRIGGERS = ['message.created'];
const FACT: Fact = {
  app: 1,
  trigger: 'message.created',
  messageId: null,
  sequence: null,
  linkCounts: null,
  happenedAt: new Date(1_767_300_000_000),
};

test('a detail comes back as it was told, but for what the database cannot hold', async (t) => {
  const { sql, drop } = await testDatabase(migrate);
  t.after(drop);
  const detail = {
    text: 'a\0b \ud83d 😀 \\u0000 \\\\ud800 \\" \u0001 \u2028 \udfff',
    'na\0me\udfff': [[null, true], { deep: [-0.5, 1e300, Number.NaN] }],
    'empty\0': {},
  };
  await emit(sql, [FACT, { ...FACT, detail }]);
  const { facts, isCut } = await transaction(sql, (tx) => take(tx, { limit: 10, triggers: TRIGGERS }));
  assert.equal(isCut, false);
  assert.deepEqual(
    facts.map((fact) => fact.detail),
    [
      null,
      {
        text: 'ab \ufffd 😀 \\u0000 \\\\ud800 \\" \u0001 \u2028 \ufffd',
        'name\ufffd': [[null, true], { deep: [-0.5, 1e300, null] }],
        empty: {},
      },
    ],
  );
});

test('large details are taken few at a time, and nothing overtakes them', async (t) => {
  const { sql, drop } = await testDatabase(migrate);
  t.after(drop);
  const large = { body: randomBytes(750_000).toString('base64') };
  const small = { body: 'x' };
  for (const detail of [small, large, large, large, large, large, large, small, null]) {
    await emit(sql, [{ ...FACT, detail }]);
  }
  const sizes: number[] = [];
  for (let cut = true; cut; ) {
    const { facts, isCut } = await transaction(sql, (tx) => take(tx, { limit: 500, triggers: TRIGGERS }));
    sizes.push(facts.length);
    cut = isCut;
  }
  assert.equal(sizes.length, 2);
  assert.ok(sizes.every((size) => size > 1));
  assert.equal((sizes[0] ?? 0) + (sizes[1] ?? 0), 9);
  assert.equal((await sql`select from outbox`).length, 0);
});

test('details that were compressed are not counted as small', async (t) => {
  const { sql, drop } = await testDatabase(migrate);
  t.after(drop);
  const spaced = { body: 'a '.repeat(450_000) };
  for (let at = 0; at < 6; at++) await emit(sql, [{ ...FACT, detail: spaced }, FACT]);
  const first = await transaction(sql, (tx) => take(tx, { limit: 500, triggers: TRIGGERS }));
  assert.deepEqual([first.facts.length, first.isCut], [7, true]);
  const second = await transaction(sql, (tx) => take(tx, { limit: 500, triggers: TRIGGERS }));
  assert.deepEqual([second.facts.length, second.isCut], [5, false]);
});

test('one detail larger than all that is taken at once is taken alone', async (t) => {
  const { sql, drop } = await testDatabase(migrate);
  t.after(drop);
  const huge = { body: randomBytes(4_000_000).toString('base64') };
  await emit(sql, [{ ...FACT, detail: huge }, FACT]);
  const first = await transaction(sql, (tx) => take(tx, { limit: 500, triggers: TRIGGERS }));
  assert.deepEqual([first.facts.length, first.isCut], [1, true]);
  const second = await transaction(sql, (tx) => take(tx, { limit: 500, triggers: TRIGGERS }));
  assert.deepEqual([second.facts.length, second.isCut], [1, false]);
});

test('a fact of a trigger that the taker does not know stays for one that does', async (t) => {
  const { sql, drop } = await testDatabase(migrate);
  t.after(drop);
  await emit(sql, [{ ...FACT, trigger: 'message.of_tomorrow' }, FACT]);
  const take10 = async (triggers: readonly string[]): Promise<string[]> => {
    const { facts } = await transaction(sql, (tx) => take(tx, { limit: 10, triggers }));
    return facts.map(({ trigger }) => trigger);
  };
  assert.deepEqual(await take10(TRIGGERS), ['message.created']);
  assert.deepEqual(await take10(TRIGGERS), []);
  assert.deepEqual(await take10([...TRIGGERS, 'message.of_tomorrow']), ['message.of_tomorrow']);
});
