import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startApi, TEST_SECRET, type TestApi } from '../../test/support/api.ts';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { type TestProviders, testProviders } from '../../test/support/providers.ts';
import { migrate } from '../db/migrate.ts';
import { firstApplication } from '../grants/applications.ts';
import { createPracticeGrant, type Grant } from '../grants/grants.ts';
import { createKey } from '../grants/keys.ts';
import { makeVault } from '../grants/vault.ts';
import { parseKeyring } from '../keyring.ts';
import { applicationRoutes } from './applications.ts';
import { grantRoutes } from './grants.ts';

let database: TestDatabase;
let api: TestApi;
let key: string;
let grant: Grant;
let mail: TestProviders;
let told = 0;

before(async () => {
  database = await testDatabase(migrate);
  const { sql } = database;
  const { application } = await firstApplication(sql);
  ({ key } = await createKey(sql, application.serial));
  const vault = makeVault(parseKeyring(TEST_SECRET));
  grant = await createPracticeGrant({ sql, vault }, application.serial);
  mail = testProviders({ sql, vault });
  const { providers } = mail;
  const onStops = async (): Promise<void> => {
    await delay(50); // an answer that did not wait for this would come before it
    told += 1;
  };
  api = await startApi(sql, [grantRoutes({ sql, vault, providers, onStops }), applicationRoutes({ sql, onStops })]);
});
after(async () => {
  await api.close();
  await mail.close();
  await database.drop();
});
beforeEach(() => {
  told = 0;
});

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; message: string }> {
  const response = await fetch(api.url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const { error } = JSON.parse(await response.text());
  return { status: response.status, message: String(error?.message) };
}

describe('grants over HTTP', () => {
  it('refuse a NUL in a query and in a body, naming the field', async () => {
    for (const [method, path, body, field] of [
      ['GET', '/v3/grants?email=%00', undefined, 'email'],
      ['GET', '/v3/grants?email=a&email=%00', undefined, 'email'],
      ['PATCH', `/v3/grants/${grant.id}`, { scope: ['a\0'] }, 'scope[0]'],
    ] as const) {
      const expected = { status: 400, message: `${field} must not contain a NUL character` };
      assert.deepEqual(await call(method, path, body), expected);
    }
  });

  it('tell the edges when the rule for deleted ones changes, and of nothing else', async () => {
    const set = (tracking_settings: object) => call('PATCH', '/v3/applications', { tracking_settings });
    assert.equal((await set({ click_settle_ms: 1 })).status, 200);
    assert.equal((await set({ deleted_grant_links: 'never' })).status, 400);
    assert.equal(told, 0);
    assert.equal((await set({ deleted_grant_links: 'forward' })).status, 200);
    assert.equal(told, 1);
  });

  it('tell the edges when one was deleted', async () => {
    assert.equal((await call('DELETE', `/v3/grants/${grant.id}`)).status, 200);
    assert.equal((await call('DELETE', `/v3/grants/${grant.id}`)).status, 404);
    assert.equal(told, 1);
  });
});
