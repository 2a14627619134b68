import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import type { AppSerial } from '../ids.ts';
import { parseKeyring } from '../keyring.ts';
import { learnAlias } from './aliases.ts';
import { createApplication } from './applications.ts';
import { deleteGrant, type Grant, resolveGrant, saveGrant } from './grants.ts';
import { makeVault } from './vault.ts';

const vault = makeVault(parseKeyring('a secret for tests only'));
let database: TestDatabase;
let app: AppSerial;

before(async () => {
  database = await testDatabase(migrate);
  app = await newApplication('aliases');
});
after(async () => {
  await database.drop();
});

let count = 0;

async function newApplication(name: string): Promise<AppSerial> {
  const application = await createApplication(database.sql, { name, environment: 'production' });
  assert.ok(application);
  return application.serial;
}

async function newGrant(aliases: readonly string[] = []): Promise<Grant> {
  count += 1;
  const email = `kim${count}@example.com`;
  const { grant } = await saveGrant({ sql: database.sql, vault }, app, { provider: 'imap', email, aliases });
  return grant;
}

async function aliasesOf({ id }: Grant): Promise<readonly string[]> {
  return (await resolveGrant(database.sql, app, id)).aliases;
}

describe('an address that was sent from', () => {
  it('becomes one of the grant, once and in lower case', async () => {
    const grant = await newGrant();
    assert.equal(await learnAlias(database.sql, grant, 'Sales@Example.com'), true);
    assert.equal(await learnAlias(database.sql, grant, 'sales@example.com'), false, 'known to the database alone');
    assert.deepEqual(await aliasesOf(grant), ['sales@example.com']);
    assert.deepEqual((await resolveGrant(database.sql, app, grant.id)).updatedAt, grant.updatedAt);
  });

  it('is not written where it is known, or only has a tag', async () => {
    const grant = await newGrant(['sales@example.com']);
    // No query may run: this one would fail.
    const sql = new Proxy(database.sql, {
      apply() {
        throw new Error('the database was asked');
      },
    });
    for (const known of [grant.email, grant.email.toUpperCase(), 'SALES@example.com', 'sales+a+b@example.com']) {
      assert.equal(await learnAlias(sql, grant, known), false, known);
    }
    assert.equal(await learnAlias(sql, grant, 'no address'), false);
    const full = { ...grant, aliases: Array.from({ length: 50 }, (_, at) => `a${at}@example.com`) };
    assert.equal(await learnAlias(sql, full, 'another@example.com'), false);
    await assert.rejects(learnAlias(sql, grant, 'another@example.com'), /was asked/);
  });

  it('does not grow the list beyond its bound, however many come at once', async () => {
    const grant = await newGrant();
    await Promise.all(Array.from({ length: 60 }, (_, at) => learnAlias(database.sql, grant, `a${at}@example.com`)));
    assert.equal((await aliasesOf(grant)).length, 50);
    const same = await newGrant();
    await Promise.all(Array.from({ length: 10 }, () => learnAlias(database.sql, same, 'same@example.com')));
    assert.deepEqual(await aliasesOf(same), ['same@example.com']);
  });

  it('is of no deleted grant, and of none of another application', async () => {
    const grant = await newGrant();
    assert.equal(await learnAlias(database.sql, { ...grant, app: await newApplication('other') }, 'a@b.c'), false);
    await deleteGrant(database.sql, app, grant.id);
    assert.equal(await learnAlias(database.sql, grant, 'a@b.c'), false);
  });
});
