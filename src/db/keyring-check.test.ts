import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { StartError } from '../errors.ts';
import { parseKeyring } from '../keyring.ts';
import { checkKeyring } from './keyring-check.ts';
import { migrate } from './migrate.ts';

const ONE = 'the first secret long enough';
const TWO = 'the second secret long enough';
let database: TestDatabase;

before(async () => {
  database = await testDatabase(migrate);
});
after(async () => await database.drop());

describe('the keyring check', () => {
  it('remembers the first ring, whoever of several processes comes first', async () => {
    await Promise.all(Array.from({ length: 5 }, () => checkKeyring(database.sql, parseKeyring(ONE))));
    assert.deepEqual([...(await keyIds())], [1]);
  });

  it('refuses another secret under a known id, and writes nothing', async () => {
    const wrong = parseKeyring(`1:${TWO},2:${ONE}`);
    await assert.rejects(checkKeyring(database.sql, wrong), says(/key 1 is not the one .* former secret/));
    assert.deepEqual([...(await keyIds())], [1]);
  });

  it('takes in a new key beside the old one', async () => {
    await checkKeyring(database.sql, parseKeyring(`1:${ONE},2:${TWO}`));
    assert.deepEqual([...(await keyIds())], [1, 2]);
  });

  it('refuses a ring that lost a key, and says what to do', async () => {
    await assert.rejects(checkKeyring(database.sql, parseKeyring(`2:${TWO}`)), says(/key 1 is missing.*Put it back/));
    await assert.rejects(checkKeyring(database.sql, parseKeyring(ONE)), says(/key 2 is missing/));
  });

  it('never stores a secret', async () => {
    const rows = await database.sql<{ value: Buffer }[]>`select value from keyring_checks`;
    for (const { value } of rows) assert.ok(!value.includes('secret'));
  });
});

async function keyIds(): Promise<readonly number[]> {
  const rows = await database.sql<{ id: number }[]>`select key_id as id from keyring_checks order by key_id`;
  return rows.map(({ id }) => id);
}

function says(message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof StartError && message.test(error.message);
}
