import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { applicationRoutes } from '../../src/api/applications.ts';
import { grantRoutes } from '../../src/api/grants.ts';
import { migrate } from '../../src/db/migrate.ts';
import { type Application, createApplication } from '../../src/grants/applications.ts';
import { createPracticeGrant, expireGrant, resolveGrant, saveGrant } from '../../src/grants/grants.ts';
import { createKey } from '../../src/grants/keys.ts';
import { makeVault } from '../../src/grants/vault.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { startApi, TEST_SECRET, type TestApi } from '../support/api.ts';
import { nylas } from '../support/nylas.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { type TestProviders, testProviders } from '../support/providers.ts';

const vault = makeVault(parseKeyring(TEST_SECRET));
let database: TestDatabase;
let api: TestApi;
let mail: TestProviders;
let key: string;
let application: Application;
let sdk: ReturnType<typeof nylas>;

before(async () => {
  database = await testDatabase(migrate);
  const { sql } = database;
  const made = await createApplication(sql, { name: 'Compat', environment: 'sandbox' });
  assert.ok(made);
  application = made;
  ({ key } = await createKey(sql, made.serial));
  mail = testProviders({ sql, vault });
  const { providers } = mail;
  api = await startApi(sql, [applicationRoutes({ sql }), grantRoutes({ sql, vault, providers })]);
  sdk = nylas({ apiKey: key, apiUri: api.url });
});
after(async () => {
  await api.close();
  await mail.close();
  await database.drop();
});

/** One call as any HTTP client makes it. */
async function call(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown>; message: string }> {
  const response = await fetch(api.url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answered = JSON.parse(await response.text());
  return { status: response.status, body: answered, message: String(answered.error?.message) };
}

/** What the Node SDK throws. */
async function sdkError(
  work: Promise<unknown>,
): Promise<{ statusCode: number; type: string; requestId: string; message: string }> {
  const error: unknown = await work.then(
    () => assert.fail('the SDK saw a success'),
    (reason: unknown) => reason,
  );
  const read = (name: string): unknown => Reflect.get(Object(error), name);
  return {
    statusCode: Number(read('statusCode')),
    type: String(read('type')),
    requestId: String(read('requestId')),
    message: String(read('message')),
  };
}

describe('applications in the official Node SDK', () => {
  it('have every field that the Python and Java SDKs insist on', async () => {
    const { requestId, data } = await sdk.applications.getDetails();
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.equal(data.applicationId, application.id);
    assert.equal(typeof data.organizationId, 'string');
    assert.equal(data.region, 'us');
    assert.equal(data.environment, 'sandbox');
    assert.equal(data.branding.name, 'Compat');
    assert.deepEqual(data.callbackUris, []);
  });

  it('take a new name', async () => {
    const { data } = await sdk.applications.update({ requestBody: { branding: { name: 'Renamed' } } });
    assert.equal(data.branding.name, 'Renamed');
    await createApplication(database.sql, { name: 'Taken', environment: 'sandbox' });
    // Of others it learns nothing, also not how they are called.
    const same = await sdk.applications.update({ requestBody: { branding: { name: 'Taken' } } });
    assert.equal(same.data.branding.name, 'Taken');
  });

  it('show and change their tracking settings (D25)', async () => {
    const changed = await call('PATCH', '/v3/applications', { tracking_settings: { open_dedupe_seconds: 60 } });
    assert.equal(changed.status, 200);
    const read = await call('GET', '/v3/applications');
    const { data } = read.body;
    assert.equal(Reflect.get(Object(Reflect.get(Object(data), 'tracking_settings')), 'open_dedupe_seconds'), 60);
    assert.deepEqual(Object.keys(Object(Reflect.get(Object(data), 'tracking_settings'))).length, 11);
  });

  const wrong: readonly (readonly [unknown, string])[] = [
    [{ tracking_settings: { colour: 1 } }, 'tracking_settings.colour is not a known setting'],
    [
      { tracking_settings: { reply_watch_days: 'x' } },
      'tracking_settings.reply_watch_days must be a whole number from 1 to 3650',
    ],
    [{ tracking_settings: 1 }, 'tracking_settings must be an object'],
    [{ region: 'eu' }, 'region is not a known field'],
    [{ branding: { icon_url: 'x' } }, 'branding.icon_url must be a URL such as https://example.com/'],
    [{ branding: { name: '' } }, 'branding.name must not be empty nor begin or end with a space'],
  ];
  for (const [body, message] of wrong) {
    it(`refuse ${JSON.stringify(body)}`, async () => {
      const answered = await call('PATCH', '/v3/applications', body);
      assert.equal(answered.status, 400);
      assert.equal(answered.message, message);
    });
  }
});

describe('grants in the official Node SDK', () => {
  let id: string;

  before(async () => {
    const { sql } = database;
    id = (await createPracticeGrant({ sql, vault }, application.serial)).id;
    for (const name of ['a', 'b', 'c']) {
      await saveGrant({ sql, vault }, application.serial, { provider: 'imap', email: `${name}@example.com` });
    }
    const b = await resolveGrant(sql, application.serial, 'b@example.com');
    await expireGrant(sql, application.serial, b.id);
  });

  it('are listed with limit and offset', async () => {
    const { data, requestId } = await sdk.grants.list({ queryParams: { limit: 2, offset: 1, orderBy: 'asc' } });
    assert.ok(requestId);
    assert.deepEqual(
      data.map((grant) => grant.email),
      ['a@example.com', 'b@example.com'],
    );
    const plain = await call('GET', '/v3/grants?limit=2&offset=1');
    assert.equal(plain.body.limit, 2);
    assert.equal(plain.body.offset, 1);
  });

  it('are filtered', async () => {
    const emails = async (query: string): Promise<unknown> => {
      const { body } = await call('GET', `/v3/grants?order_by=asc&${query}`);
      return [body.data].flat().map((grant) => Reflect.get(Object(grant), 'email'));
    };
    assert.deepEqual(await emails('grant_status=invalid'), ['b@example.com']);
    assert.deepEqual(await emails('email=A%40example.com'), ['a@example.com']);
    assert.deepEqual(await emails('provider=google'), []);
    assert.equal(Reflect.get(Object(await emails('provider=imap')), 'length'), 4);
    for (const query of ['limit=0', 'limit=x', 'sort_by=email', 'grant_status=odd', 'offset=-1']) {
      assert.equal((await call('GET', `/v3/grants?${query}`)).status, 400, query);
    }
  });

  it('are found by id and by address, encoded or raw', async () => {
    const { data } = await sdk.grants.find({ grantId: id });
    assert.equal(data.provider, 'imap');
    assert.equal(data.grantStatus, 'valid');
    assert.deepEqual(data.scope, []);
    assert.ok(Number.isInteger(data.createdAt));
    assert.equal((await sdk.grants.find({ grantId: 'sender@practice.test' })).data.id, id);
    for (const form of [
      'sender@practice.test',
      'sender%40practice.test',
      'email:SENDER@practice.test',
      `grant:${id}`,
    ]) {
      assert.equal((await call('GET', `/v3/grants/${form}`)).status, 200, form);
    }
  });

  it('that do not exist are grant.not_found, with the request id of the header', async () => {
    const error = await sdkError(sdk.grants.find({ grantId: 'nobody@example.com' }));
    assert.equal(error.statusCode, 404);
    assert.equal(error.type, 'grant.not_found');
    assert.match(error.requestId, /^[0-9a-f-]{36}$/);
    assert.equal((await sdkError(sdk.grants.find({ grantId: 'me' }))).statusCode, 401);
  });

  it('take a new scope but no settings', async () => {
    const { data } = await sdk.grants.update({ grantId: id, requestBody: { scope: ['mail.send'], settings: {} } });
    assert.deepEqual(data.scope, ['mail.send']);
    const error = await sdkError(sdk.grants.update({ grantId: id, requestBody: { settings: { imapHost: 'x' } } }));
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /^settings cannot be changed: a practice mailbox has none$/);
  });

  it('of another application do not exist', async () => {
    const { sql } = database;
    const other = await createApplication(sql, { name: 'Other', environment: 'production' });
    const theirs = await createPracticeGrant({ sql, vault }, other?.serial ?? 0);
    for (const work of [sdk.grants.find({ grantId: theirs.id }), sdk.grants.destroy({ grantId: theirs.id })]) {
      assert.equal((await sdkError(work)).statusCode, 404);
    }
  });

  it('are deleted for good', async () => {
    const { requestId } = await sdk.grants.destroy({ grantId: 'c@example.com' });
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.equal((await sdkError(sdk.grants.destroy({ grantId: 'c@example.com' }))).type, 'grant.not_found');
    const { body } = await call('DELETE', `/v3/grants/${id}`);
    assert.deepEqual(Object.keys(body), ['request_id']);
  });

  it('need the key', async () => {
    const stranger = nylas({ apiKey: 'ttk_wrong', apiUri: api.url });
    const error = await sdkError(stranger.grants.list());
    assert.equal(error.statusCode, 401);
    assert.equal(error.type, 'api.authentication_error');
  });
});
