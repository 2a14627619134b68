import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startApi, type TestApi } from '../../test/support/api.ts';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import { createApplication } from '../grants/applications.ts';
import { createKey } from '../grants/keys.ts';
import { applicationRoutes } from './applications.ts';
import { redirectUriRoutes } from './redirect-uris.ts';

const URIS = '/v3/applications/redirect-uris';

let database: TestDatabase;
let api: TestApi;
let key: string;

before(async () => {
  database = await testDatabase(migrate);
  const { sql } = database;
  const made = await createApplication(sql, { name: 'shop', environment: 'sandbox' });
  assert.ok(made);
  ({ key } = await createKey(sql, made.serial));
  api = await startApi(sql, [applicationRoutes({ sql }), redirectUriRoutes({ sql })]);
});
after(async () => {
  await api.close();
  await database.drop();
});

async function call(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; data: Record<string, unknown>; message: string; text: string }> {
  const response = await fetch(api.url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const { data, error } = JSON.parse(text);
  return { status: response.status, data, message: String(error?.message ?? ''), text };
}

describe('the application', () => {
  it('shows what it is called and where its redirects lead, and nothing that nobody said', async () => {
    const { status, data } = await call('GET', '/v3/applications');
    assert.equal(status, 200);
    const { application_id: id, tracking_settings: _, created_at: __, updated_at: ___, ...rest } = data;
    assert.deepEqual(rest, {
      organization_id: id,
      region: 'us',
      environment: 'sandbox',
      branding: { name: 'shop' },
      callback_uris: [],
    });
  });

  it('keeps its branding and the looks of its login page as they are given, each replaced as a whole', async () => {
    const branding = {
      name: 'The shop',
      icon_url: 'https://shop.example/icon.png',
      website_url: 'https://shop.example',
      description: 'Sells things. 🛒',
    };
    const hosted_authentication = { title: 'Hello', spacing: 5, more: { list: [1, 'two', true] } };
    const changed = await call('PATCH', '/v3/applications', { branding, hosted_authentication });
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual(changed.data.branding, branding);
    assert.deepEqual(changed.data.hosted_authentication, hosted_authentication);

    const settings = await call('PATCH', '/v3/applications', { tracking_settings: { open_dedupe_seconds: 60 } });
    assert.deepEqual(settings.data.branding, branding, 'what is not named stays');
    assert.deepEqual(settings.data.hosted_authentication, hosted_authentication);

    const less = await call('PATCH', '/v3/applications', {
      branding: { website_url: '', description: 'Less' },
      hosted_authentication: {},
    });
    assert.deepEqual(less.data.branding, { name: 'The shop', description: 'Less' });
    assert.deepEqual(less.data.hosted_authentication, {});
    assert.deepEqual((await call('GET', '/v3/applications')).data, less.data);
  });

  it('may be called like another, of which it learns nothing', async () => {
    assert.ok(await createApplication(database.sql, { name: 'Neighbour', environment: 'production' }));
    const { status, data } = await call('PATCH', '/v3/applications', { branding: { name: 'Neighbour' } });
    assert.deepEqual([status, data.branding], [200, { name: 'Neighbour' }]);
    await call('PATCH', '/v3/applications', { branding: { name: 'The shop' } });
  });

  it('takes what a database cannot store or an SDK cannot read', async () => {
    const hosted_authentication = { title: 'half \ud83d', colour: null, list: [null, { in: null, '\udc00': 1 }] };
    const { status, data, text } = await call('PATCH', '/v3/applications', {
      hosted_authentication,
      branding: { description: 'half \ud83d' },
    });
    assert.equal(status, 200, text);
    assert.deepEqual(data.hosted_authentication, { title: 'half \ufffd', list: [{ '\ufffd': 1 }] });
    assert.deepEqual(data.branding, { name: 'The shop', description: 'half \ufffd' });
  });

  it('says what is wrong, by its name, and then changes nothing', async () => {
    const before = (await call('GET', '/v3/applications')).data;
    for (const [body, message] of [
      [{ branding: { name: '' } }, 'branding.name must not be empty nor begin or end with a space'],
      [{ branding: { icon_url: 'javascript:x' } }, 'branding.icon_url must be a URL such as https://example.com/'],
      [{ branding: { website_url: 'shop' } }, 'branding.website_url must be a URL such as https://example.com/'],
      [{ branding: { description: 'x'.repeat(1001) } }, 'branding.description must have at most 1000 characters'],
      [{ branding: { colour: 'red' } }, 'branding.colour is not a known field'],
      [{ hosted_authentication: 'x' }, 'hosted_authentication must be an object'],
      [
        { hosted_authentication: { title: 'x'.repeat(10_000) } },
        'hosted_authentication must have at most 10000 characters as JSON',
      ],
      [{ callback_uris: [] }, `callback_uris cannot be changed here: use ${URIS}`],
      [{ domain: 'x', branding: { name: 'new' } }, 'domain is not a known field'],
    ] as const) {
      const refused = await call('PATCH', '/v3/applications', body);
      assert.deepEqual({ status: refused.status, message: refused.message }, { status: 400, message });
    }
    assert.deepEqual((await call('GET', '/v3/applications')).data, before);
  });
});

describe('redirect URIs over HTTP', () => {
  it('are made, listed, found, changed by PATCH or PUT, and deleted', async () => {
    const url = 'https://shop.example/callback';
    const made = await call('POST', URIS, { url });
    assert.equal(made.status, 200, made.text);
    const { id } = made.data;
    assert.deepEqual(made.data, { id, url, platform: 'web' });
    assert.deepEqual((await call('GET', `${URIS}/${id}`)).data, made.data);
    assert.deepEqual((await call('GET', URIS)).data, [made.data]);
    assert.deepEqual((await call('GET', '/v3/applications')).data.callback_uris, [made.data]);

    const settings = { bundle_id: 'com.shop', team_id: 'T1', app_store_id: '' };
    const changed = await call('PATCH', `${URIS}/${id}`, { platform: 'ios', settings });
    assert.deepEqual(changed.data, { id, url, platform: 'ios', settings: { bundle_id: 'com.shop', team_id: 'T1' } });
    const put = await call('PUT', `${URIS}/${id}`, { url: 'com.shop://callback' });
    assert.deepEqual(put.data, { ...changed.data, url: 'com.shop://callback' });
    assert.deepEqual((await call('PATCH', `${URIS}/${id}`)).data, put.data);

    const deleted = await call('DELETE', `${URIS}/${id}`, {});
    assert.deepEqual(Object.keys(JSON.parse(deleted.text)), ['request_id']);
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
      const gone = await call(method, `${URIS}/${id}`, method === 'GET' ? undefined : {});
      assert.deepEqual(
        { status: gone.status, message: gone.message },
        { status: 404, message: 'Redirect URI not found.' },
      );
    }
  });

  it('take every platform of the SDKs, and their settings', async () => {
    for (const platform of ['web', 'js', 'desktop', 'mobile', 'ios', 'android']) {
      const settings = {
        origin: 'https://shop.example',
        bundle_id: 'a',
        app_store_id: 'b',
        team_id: 'c',
        package_name: 'd',
        sha1_certificate_fingerprint: 'e',
      };
      const made = await call('POST', URIS, { url: `https://shop.example/${platform}`, platform, settings });
      assert.deepEqual([made.data.platform, made.data.settings], [platform, settings], made.text);
    }
  });

  it('take the fingerprint of a certificate as the Node SDK writes it', async () => {
    const url = 'com.shop.node://callback';
    const settings = { package_name: 'com.shop', sha_1_certificate_fingerprint: 'AA:BB' };
    const { data } = await call('POST', URIS, { url, platform: 'android', settings });
    assert.deepEqual(data.settings, { package_name: 'com.shop', sha1_certificate_fingerprint: 'AA:BB' });
  });

  it('take null for what is not given', async () => {
    const body = { url: 'https://shop.example/null', platform: null, settings: { origin: null } };
    const made = await call('POST', URIS, body);
    assert.deepEqual([made.status, made.data.platform], [200, 'web'], made.text);
    assert.equal((await call('DELETE', `${URIS}/${made.data.id}`)).status, 200);
  });

  it('say what is wrong, by its name', async () => {
    const url = 'https://shop.example/web';
    for (const [body, message] of [
      [{}, 'url is required'],
      [{ url: 'http://shop.example/' }, 'url must begin with https:// (http:// for localhost only)'],
      [{ url }, 'url is a redirect URI of this application already'],
      [{ url, platform: 'fridge' }, 'platform must be one of "web", "js", "desktop", "mobile", "ios", "android"'],
      [{ url, settings: { origin: 1 } }, 'settings.origin must be a string'],
      [{ url, settings: { origin: 'a\nb' } }, 'settings.origin does not have the right form'],
      [{ url, settings: { colour: 'red' } }, 'settings.colour is not a known field'],
      [{ url, id: 'x' }, 'id is not a known field'],
    ] as const) {
      const refused = await call('POST', URIS, body);
      assert.deepEqual({ status: refused.status, message: refused.message }, { status: 400, message });
    }
  });
});
