// Nylas's own Node SDK, unmodified, reads and changes its application and that one's redirect URIs (contract 6.5).
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type CompatGround, type Sdk, startCompatGround } from '../support/compat-ground.ts';
import { WIRE_SDKS, type WireAnswer } from '../support/sdk-bytes.ts';
import { sdkError } from '../support/sdk-error.ts';
import { breaches } from './breaches.ts';
import { APPLICATION, DELETED, type Members, ONE_REDIRECT_URI, REDIRECT_URI_LIST, REFUSAL } from './members.ts';

let ground: CompatGround;
let sdk: Sdk;
let count = 0;
before(async () => {
  ground = await startCompatGround();
  ({ sdk } = ground);
});
after(async () => {
  await ground.close();
});

const newUrl = (): string => {
  count += 1;
  return `https://app.example.com/callback/${count}`;
};

async function create(changes: object = {}) {
  const requestBody = { url: newUrl(), platform: 'web' as const, ...changes };
  return (await sdk.applications.redirectUris.create({ requestBody })).data;
}

describe('the application', () => {
  it('has what the Python and Java SDKs insist on', async () => {
    const { data, requestId } = await sdk.applications.getDetails();
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.ok(data.applicationId && data.organizationId && data.branding.name);
    assert.ok(['us', 'eu'].includes(data.region));
    assert.equal(data.environment, 'production');
    const sandbox = await ground.application('sandbox');
    assert.equal((await sandbox.sdk.applications.getDetails()).data.environment, 'sandbox');
  });

  it('says of itself what it was told', async () => {
    const before = (await sdk.applications.getDetails()).data;
    const branding = {
      name: 'Compat',
      iconUrl: 'https://app.example.com/icon.png',
      websiteUrl: 'https://app.example.com/',
      description: 'Größe',
    };
    const { data } = await sdk.applications.update({ requestBody: { branding } });
    assert.deepEqual(data.branding, branding);
    assert.equal(data.applicationId, before.applicationId);
    assert.deepEqual((await sdk.applications.getDetails()).data, data);
  });

  it('shows its redirect URIs', async () => {
    const made = await create();
    const { callbackUris } = (await sdk.applications.getDetails()).data;
    assert.deepEqual(
      callbackUris?.find(({ id }) => id === made.id),
      made,
    );
  });
});

describe('redirect URIs', () => {
  it('are made, found, changed and deleted', async () => {
    const settings = { origin: 'https://app.example.com' };
    const url = newUrl();
    const made = await sdk.applications.redirectUris.create({ requestBody: { url, platform: 'web', settings } });
    assert.match(made.requestId, /^[0-9a-f-]{36}$/);
    const { id } = made.data;
    assert.deepEqual(made.data, { id, url, platform: 'web', settings });
    const found = await sdk.applications.redirectUris.find({ redirectUriId: id });
    assert.deepEqual(found.data, made.data);
    const other = newUrl();
    const changed = await sdk.applications.redirectUris.update({ redirectUriId: id, requestBody: { url: other } });
    assert.deepEqual(changed.data, { id, url: other, platform: 'web', settings });
    const { data: list } = await sdk.applications.redirectUris.list();
    assert.deepEqual(
      list.find((one) => one.id === id),
      changed.data,
    );
    const { requestId } = await sdk.applications.redirectUris.destroy({ redirectUriId: id });
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.ok((await sdk.applications.redirectUris.list()).data.every((one) => one.id !== id));
  });

  it('are of every platform, web where none is said', async () => {
    const { url } = await create();
    const { data } = await sdk.applications.redirectUris.create({ requestBody: { url: `${url}/plain` } });
    assert.equal(data.platform, 'web');
    for (const platform of ['ios', 'android', 'desktop', 'js'] as const) {
      assert.equal((await create({ platform })).platform, platform);
    }
    const settings = {
      bundleId: 'com.example',
      appStoreId: '1',
      teamId: 't',
      packageName: 'p',
      sha1CertificateFingerprint: 'AB:CD',
    };
    const ios = await create({ platform: 'ios', settings });
    assert.deepEqual(Object.values(ios.settings ?? {}), Object.values(settings));
  });

  it('are told by their page, and iterated over', async () => {
    await create();
    const seen: string[] = [];
    for await (const page of sdk.applications.redirectUris.list()) seen.push(...page.data.map(({ id }) => id));
    assert.deepEqual(
      seen,
      (await sdk.applications.redirectUris.list()).data.map(({ id }) => id),
    );
  });

  it('of another application are not there', async () => {
    const other = await ground.application('production');
    const { id: redirectUriId } = await create();
    assert.deepEqual((await other.sdk.applications.redirectUris.list()).data, []);
    const works = [
      other.sdk.applications.redirectUris.find({ redirectUriId }),
      other.sdk.applications.redirectUris.update({ redirectUriId, requestBody: { url: newUrl() } }),
      other.sdk.applications.redirectUris.destroy({ redirectUriId }),
      sdk.applications.redirectUris.find({ redirectUriId: 'unknown' }),
    ];
    for (const error of await Promise.all(works.map((work) => sdkError(work)))) {
      assert.deepEqual([error.statusCode, error.type], [404, 'api.not_found_error']);
    }
    assert.equal((await sdk.applications.redirectUris.find({ redirectUriId })).data.id, redirectUriId);
  });

  for (const [name, changes, message] of [
    ['a url that is none', { url: 'not a url' }, /^url /],
    ['a platform that is unknown', { platform: 'toaster' }, /^platform /],
    ['a url that is there already', { url: 'https://app.example.com/twice' }, /^url /],
  ] as const) {
    it(`are refused: ${name}`, async () => {
      const work = async (): Promise<unknown> => [await create(changes), await create(changes)];
      const error = await sdkError(work());
      assert.equal(error.statusCode, 400);
      assert.match(error.message, message);
    });
  }
});

/** What the SDK's deserialiser stumbles over fails the test. */
function readable(answer: WireAnswer, members: Members, status = 200): WireAnswer {
  assert.equal(answer.status, status, answer.text);
  assert.deepEqual(breaches(answer, members), [], answer.text);
  return answer;
}

for (const caller of WIRE_SDKS) {
  it(`the application and its redirect URIs as ${caller.name} asks for them`, async () => {
    // Java knows no platform `js`, so that an application with Java has none.
    const { key } = await ground.application('sandbox');
    const uris = '/v3/applications/redirect-uris';
    readable(await ground.wire(caller, { method: 'GET', path: uris, key }), REDIRECT_URI_LIST);
    const body = { url: newUrl(), platform: 'web', settings: { origin: 'https://app.example.com' } };
    const made = readable(await ground.wire(caller, { method: 'POST', path: uris, body, key }), ONE_REDIRECT_URI);
    const path = `${uris}/${caller.segment(String(made.at('data.id')))}`;
    for (const platform of ['desktop', 'ios', 'android']) {
      const plain = { url: newUrl(), platform };
      readable(await ground.wire(caller, { method: 'POST', path: uris, body: plain, key }), ONE_REDIRECT_URI);
    }
    readable(await ground.wire(caller, { method: 'GET', path, key }), ONE_REDIRECT_URI);
    const patch = { url: newUrl() };
    const changed = await ground.wire(caller, { method: 'PATCH', path, body: patch, key });
    assert.equal(readable(changed, ONE_REDIRECT_URI).at('data.url'), patch.url);
    readable(await ground.wire(caller, { method: 'GET', path: uris, key }), REDIRECT_URI_LIST);
    readable(await ground.wire(caller, { method: 'GET', path: '/v3/applications', key }), APPLICATION);
    const branding = { name: `of ${caller.name}`, description: 'x' };
    const renamed = await ground.wire(caller, { method: 'PATCH', path: '/v3/applications', body: { branding }, key });
    assert.deepEqual(readable(renamed, APPLICATION).at('data.branding'), branding);
    readable(await ground.wire(caller, { method: 'DELETE', path, key }), DELETED);
    readable(await ground.wire(caller, { method: 'GET', path, key }), REFUSAL, 404);
  });
}
