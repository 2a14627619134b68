import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { arrayText, parseArray } from './arrays.ts';

describe('arrays', () => {
  it('go to the server and come back as they were', async () => {
    const { sql, drop } = await testDatabase();
    try {
      const texts = [
        '',
        'a',
        'NULL',
        'null',
        '{}',
        'a,b',
        '"',
        '\\',
        'back\\"slash',
        ' space ',
        'new\nline',
        '日本',
        "'",
      ];
      const [row] = await sql`
        select ${texts}::text[] as texts, ${[1, -2, 3]}::integer[] as integers, ${[7]}::smallint[] as smallints,
          ${['00000000-0000-7000-8000-000000000000']}::uuid[] as uuids, ${[]}::text[] as none,
          ${['x', null]}::text[] as nulls, ${[1, null]}::integer[] as holes,
          cardinality(${['2026-11-21T00:00:00Z', null]}::timestamptz[]) as times`;
      assert.deepEqual(row, {
        texts,
        integers: [1, -2, 3],
        smallints: [7],
        uuids: ['00000000-0000-7000-8000-000000000000'],
        none: [],
        nulls: ['x', null],
        holes: [1, null],
        times: 2,
      });
    } finally {
      await drop();
    }
  });

  it('hold nothing that would be guessed at', () => {
    assert.throws(() => arrayText([new Date()]), /holds a object; write it as text/);
    assert.throws(() => arrayText([undefined]), TypeError);
    assert.throws(() => arrayText(5), TypeError);
  });

  it('are read also where elements are quoted without need', () => {
    assert.deepEqual(parseArray('{"a",b,NULL,"NULL"}'), ['a', 'b', null, 'NULL']);
  });
});
