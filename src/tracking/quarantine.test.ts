import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { makeHit, prepareLedger } from '../../test/support/recording.ts';
import type { Sql } from '../db/pool.ts';
import { isUuid, uuidv7 } from '../ids.ts';
import { setAside } from './quarantine.ts';

let sql: Sql;
let drop: () => Promise<void>;

before(async () => {
  ({ sql, drop } = await testDatabase(prepareLedger));
});
after(() => drop());

test('what a hit holds does not matter: it is stored, once', async () => {
  const broken = [
    makeHit({ app: 1, grant: 1 }, uuidv7(), { userAgent: 'a\0b \ud800 c\u0007' }),
    makeHit({ app: 2 ** 40, grant: Number.NaN }, 'no message', { id: 'no id' }),
    { ...makeHit({ app: 1, grant: 1 }, uuidv7()), at: new Date(Number.NaN), userAgent: 'x'.repeat(100_000) },
  ];
  for (let time = 0; time < 2; time++) {
    await setAside(
      sql,
      broken.map((hit) => ({ hit, reason: `22021 \0 ${'long '.repeat(500)}` })),
    );
  }
  const rows = await sql<{ id: string; reason: string; agent: string; app: string }[]>`
    select id, reason, hit->>'userAgent' as agent, hit->>'app' as app from quarantine order by hit->>'app', length(hit::text)`;
  assert.equal(rows.length, 3);
  assert.deepEqual(
    rows.map((row) => [row.app, row.agent.slice(0, 10), row.agent.length]),
    [
      ['1', 'a\ufffdb \ufffd c\ufffd', 8],
      ['1', 'xxxxxxxxxx', 4096],
      ['1099511627776', 'Mozilla/5.', 104],
    ],
  );
  assert.ok(rows.every((row) => isUuid(row.id) && row.reason.length <= 500));
});
