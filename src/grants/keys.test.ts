import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import type { Sql } from '../db/pool.ts';
import { StartError } from '../errors.ts';
import { type Application, createApplication, upgradeApplication } from './applications.ts';
import { createKey, ensureSettingKey, listKeys, makeAuthenticator, revokeKey } from './keys.ts';

let database: TestDatabase;
let sql: Sql;
let clock = 0;
let application: Application;
let names = 0;

before(async () => {
  database = await testDatabase(migrate);
  sql = database.sql;
});
after(async () => await database.drop());
beforeEach(async () => {
  application = await newApplication();
});

describe('API keys', () => {
  it('has a readable prefix and 256 random bits, and is stored as a hash with its last characters', async () => {
    const { id, key } = await createKey(sql, application.serial);
    assert.match(key, /^ttk_[\w-]{43}$/);
    const [stored] = await sql`select * from api_keys where id = ${id}`;
    assert.equal(stored?.hint, key.slice(-4));
    assert.ok(!JSON.stringify(stored).includes(key));
    assert.equal(stored?.hash.length, 32);
  });

  it('tells the application and its environment', async () => {
    const { key } = await createKey(sql, application.serial);
    assert.deepEqual(
      { ...(await authenticator()(key)) },
      {
        app: application.serial,
        applicationId: application.id,
        environment: 'sandbox',
      },
    );
  });

  it('knows no other key', async () => {
    const authenticate = authenticator();
    const { key } = await createKey(sql, application.serial);
    for (const wrong of ['', 'x', `${key} `, key.toUpperCase(), `${key}\0`]) {
      assert.equal(await authenticate(wrong), null);
    }
  });

  it('stops within a second of being revoked, also where it was just used', async () => {
    const authenticate = authenticator();
    const { id, key } = await createKey(sql, application.serial);
    assert.ok(await authenticate(key));
    assert.equal(await revokeKey(sql, id), 'revoked');
    clock += 999;
    assert.ok(await authenticate(key));
    clock += 1;
    assert.equal(await authenticate(key), null);
    assert.equal(await revokeKey(sql, id), 'already');
  });

  it('works at once when it is new, also where it was just refused', async () => {
    const authenticate = authenticator();
    const key = `ttk_${'n'.repeat(43)}${names}`;
    assert.equal(await authenticate(key), null);
    await ensureSettingKey(sql, application.serial, key, 'setting');
    assert.ok(await authenticate(key));
  });

  it('asks the database once a second however many requests come', async () => {
    let asked = 0;
    const counting = new Proxy(sql, {
      apply(target, self, args) {
        asked++;
        return Reflect.apply(target, self, args);
      },
    });
    const authenticate = makeAuthenticator({ sql: counting, now: () => clock });
    const { key } = await createKey(sql, application.serial);
    const holders = await Promise.all(Array.from({ length: 50 }, () => authenticate(key)));
    assert.equal(new Set(holders.map((holder) => holder?.app)).size, 1);
    assert.equal(asked, 1);
    clock += 1000;
    await authenticate(key);
    assert.equal(asked, 2);
  });

  it('shows an upgrade of the application within a second', async () => {
    const authenticate = authenticator();
    const { key } = await createKey(sql, application.serial);
    await authenticate(key);
    assert.equal(await upgradeApplication(sql, application.serial), true);
    clock += 1000;
    assert.equal((await authenticate(key))?.environment, 'production');
  });

  it('cannot be revoked without existing', async () => {
    assert.equal(await revokeKey(sql, '00000000-0000-4000-8000-000000000000'), 'unknown');
  });

  it('is listed by application or altogether', async () => {
    const { id } = await createKey(sql, application.serial);
    const other = await createKey(sql, (await newApplication()).serial);
    assert.deepEqual(
      (await listKeys(sql, application.serial)).map((key) => key.id),
      [id],
    );
    const all = (await listKeys(sql, null)).map((key) => key.id);
    assert.ok(all.includes(id) && all.includes(other.id));
  });
});

describe('the key of the setting', () => {
  const first = (): string => `first-key-of-${application.id}`;
  const second = (): string => `second-key-of-${application.id}`;

  it('works beside created keys, and only one row stands for it however often the service starts', async () => {
    const created = await createKey(sql, application.serial);
    await Promise.all(Array.from({ length: 5 }, () => ensureSettingKey(sql, application.serial, first(), 'setting')));
    const authenticate = authenticator();
    assert.ok(await authenticate(first()));
    assert.ok(await authenticate(created.key));
    assert.equal((await listKeys(sql, application.serial)).length, 2);
  });

  it('stops when the setting changes, while created ones stay; and works again when it changes back', async () => {
    const created = await createKey(sql, application.serial);
    await ensureSettingKey(sql, application.serial, first(), 'setting');
    await ensureSettingKey(sql, application.serial, second(), 'setting');
    assert.equal(await authenticator()(first()), null);
    assert.ok(await authenticator()(second()));
    await ensureSettingKey(sql, application.serial, first(), 'setting');
    assert.ok(await authenticator()(first()));
    assert.equal(await authenticator()(second()), null);
    assert.ok(await authenticator()(created.key));
  });

  it('cannot be revoked by id: the next start would bring it back', async () => {
    await ensureSettingKey(sql, application.serial, first(), 'setting');
    const [key] = await listKeys(sql, application.serial);
    assert.equal(await revokeKey(sql, key?.id ?? ''), 'setting');
    assert.ok(await authenticator()(first()));
  });

  it('may name a created key, which stays a created one', async () => {
    const created = await createKey(sql, application.serial);
    await ensureSettingKey(sql, application.serial, created.key, 'setting');
    await ensureSettingKey(sql, application.serial, second(), 'setting');
    assert.ok(await authenticator()(created.key));
  });

  it('refuses a revoked key and one of another application, and leaves the former setting working', async () => {
    await ensureSettingKey(sql, application.serial, first(), 'setting');
    const revoked = await createKey(sql, application.serial);
    await revokeKey(sql, revoked.id);
    await assert.rejects(
      ensureSettingKey(sql, application.serial, revoked.key, 'setting'),
      isStartError(/was revoked/),
    );
    const other = await createKey(sql, (await newApplication()).serial);
    await assert.rejects(
      ensureSettingKey(sql, application.serial, other.key, 'setting'),
      isStartError(/another application/),
    );
    assert.ok(await authenticator()(first()));
  });
});

describe('the key kept in a data folder', () => {
  const node = (name: string): string => `key-of-node-${name}-of-${application.id}`;
  const one = (): string => `setting one of ${application.id}`;
  const two = (): string => `setting two of ${application.id}`;
  const start = (key: string, from: 'setting' | 'file') => ensureSettingKey(sql, application.serial, key, from);

  it('is one for each node that shares the database: all of them work, however often they start', async () => {
    for (const name of ['a', 'b', 'a', 'b']) await start(node(name), 'file');
    assert.ok(await authenticator()(node('a')));
    assert.ok(await authenticator()(node('b')));
    assert.deepEqual(
      (await listKeys(sql, application.serial)).map(({ source, revokedAt }) => [source, revokedAt]),
      [
        ['kept', null],
        ['kept', null],
      ],
    );
  });

  it('lives beside the one of the setting, whichever comes first and when that changes', async () => {
    await start(node('a'), 'file');
    await start(one(), 'setting');
    await start(node('b'), 'file');
    assert.ok(await authenticator()(one()));
    await start(two(), 'setting');
    assert.ok(await authenticator()(node('a')));
    assert.ok(await authenticator()(node('b')));
    assert.equal(await authenticator()(one()), null);
  });

  it('stays one of the folder when the setting names it too', async () => {
    await start(node('a'), 'file');
    await start(node('a'), 'setting');
    await start(one(), 'setting');
    assert.ok(await authenticator()(node('a')));
  });

  it('can be revoked, and the node then says what to do', async () => {
    await start(node('a'), 'file');
    const [key] = await listKeys(sql, application.serial);
    assert.equal(await revokeKey(sql, key?.id ?? ''), 'revoked');
    assert.equal(await authenticator()(node('a')), null);
    await assert.rejects(start(node('a'), 'file'), isStartError(/api-key.*was revoked.*Remove the file/));
    assert.equal(await authenticator()(node('a')), null);
  });
});

function authenticator(): ReturnType<typeof makeAuthenticator> {
  return makeAuthenticator({ sql, now: () => clock });
}

async function newApplication(): Promise<Application> {
  const made = await createApplication(sql, { name: `app ${++names}`, environment: 'sandbox' });
  assert.ok(made);
  return made;
}

function isStartError(message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof StartError && message.test(error.message);
}
