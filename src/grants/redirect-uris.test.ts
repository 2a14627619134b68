import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import { createApplication } from './applications.ts';
import {
  addRedirectUri,
  changeRedirectUri,
  deleteRedirectUri,
  getRedirectUri,
  listRedirectUris,
  MOST_REDIRECT_URIS,
  redirectUrlProblem,
} from './redirect-uris.ts';

let database: TestDatabase;

before(async () => {
  database = await testDatabase(migrate);
});
after(async () => {
  await database.drop();
});

async function application(name: string): Promise<number> {
  const made = await createApplication(database.sql, { name, environment: 'production' });
  assert.ok(made);
  return made.serial;
}

const uri = (url: string) => ({ url, platform: 'web', settings: {} }) as const;

describe('the URL of a redirect', () => {
  it('is https anywhere, and http on this machine', () => {
    for (const url of [
      'https://app.example.com/callback',
      'https://app.example.com',
      'HTTPS://app.example.com/a?b=c%20d',
      'http://localhost:3000/callback',
      'http://127.0.0.1/x',
      'http://[::1]:8080/',
    ]) {
      for (const platform of ['web', 'js', 'ios'] as const) assert.equal(redirectUrlProblem(url, platform), null, url);
    }
    for (const url of ['http://app.example.com/', 'http://localhost.example.com/', 'http://127.0.0.1.example.com/']) {
      assert.match(redirectUrlProblem(url, 'web') ?? '', /https/, url);
      assert.match(redirectUrlProblem(url, 'ios') ?? '', /https/, url);
    }
  });

  it('has a scheme of its own only where a program can answer to one', () => {
    for (const url of ['com.example.app://callback', 'myapp:/oauth', 'msauth.com.example.app://auth']) {
      for (const platform of ['desktop', 'mobile', 'ios', 'android'] as const) {
        assert.equal(redirectUrlProblem(url, platform), null, url);
      }
      for (const platform of ['web', 'js'] as const) assert.notEqual(redirectUrlProblem(url, platform), null, url);
    }
  });

  it('is nothing that a browser would run, and hides nothing', () => {
    for (const url of [
      '',
      'callback',
      '//app.example.com',
      'javascript:alert(1)',
      'JavaScript:alert(1)',
      'data:text/html,x',
      'file:///etc/passwd',
      'https://app.example.com/#fragment',
      'https://app.example.com/#',
      'https://user:pass@app.example.com/',
      'https://app.example.com/a b',
      'https://app.example.com/\n',
      'https://häuser.example/',
      `https://app.example.com/${'a'.repeat(2000)}`,
    ]) {
      for (const platform of ['web', 'android'] as const) assert.notEqual(redirectUrlProblem(url, platform), null, url);
    }
  });
});

describe('redirect URIs', () => {
  it('are kept, changed and deleted, each within its application', async () => {
    const { sql } = database;
    const [shop, desk] = [await application('shop'), await application('desk')];
    const kept = await addRedirectUri(sql, shop, uri('https://shop.example.com/a'));
    assert.ok(kept.kind === 'kept');
    const { id } = kept.uri;
    assert.deepEqual(await getRedirectUri(sql, shop, id.toUpperCase()), kept.uri);
    assert.equal(await getRedirectUri(sql, shop, 'nothing'), null);

    assert.equal(await getRedirectUri(sql, desk, id), null);
    assert.deepEqual(await changeRedirectUri(sql, desk, id, { url: 'https://evil.example.com' }), { kind: 'unknown' });
    assert.equal(await deleteRedirectUri(sql, desk, id), false);
    assert.equal((await addRedirectUri(sql, desk, uri(kept.uri.url))).kind, 'kept', 'each has its own of the same URL');

    const settings = { bundle_id: 'com.example' };
    const changed = await changeRedirectUri(sql, shop, id, { platform: 'ios', url: 'myapp:/x', settings });
    assert.deepEqual(changed, { kind: 'kept', uri: { id, url: 'myapp:/x', platform: 'ios', settings } });
    const back = await changeRedirectUri(sql, shop, id, { platform: 'web' });
    assert.equal(back.kind, 'wrong_url', 'the URL has to fit the platform that it gets');
    assert.deepEqual(await listRedirectUris(sql, shop), [{ id, url: 'myapp:/x', platform: 'ios', settings }]);
    assert.equal(await deleteRedirectUri(sql, shop, id), true);
    assert.equal(await deleteRedirectUri(sql, shop, id), false);
    assert.equal((await listRedirectUris(sql, desk)).length, 1);
  });

  it('are never the same twice, and never too many, also when they come at once', async () => {
    const { sql } = database;
    const app = await application('crowd');
    const same = await Promise.all([1, 2, 3, 4].map(() => addRedirectUri(sql, app, uri('https://a.example/'))));
    assert.deepEqual(same.map(({ kind }) => kind).sort(), ['kept', 'taken', 'taken', 'taken']);
    const [first] = await listRedirectUris(sql, app);
    const second = await addRedirectUri(sql, app, uri('https://b.example/'));
    assert.ok(first && second.kind === 'kept');
    assert.deepEqual(await changeRedirectUri(sql, app, second.uri.id, { url: first.url }), { kind: 'taken' });
    assert.equal((await changeRedirectUri(sql, app, second.uri.id, { url: second.uri.url })).kind, 'kept');

    for (let number = 2; number < MOST_REDIRECT_URIS - 1; number++) {
      await addRedirectUri(sql, app, uri(`https://a.example/${number}`));
    }
    const last = await Promise.all(
      ['x', 'y', 'z'].map((path) => addRedirectUri(sql, app, uri(`https://c.example/${path}`))),
    );
    assert.deepEqual(last.map(({ kind }) => kind).sort(), ['kept', 'too_many', 'too_many']);
    assert.equal((await addRedirectUri(sql, app, uri(first.url))).kind, 'taken', 'the clearer of two reasons');
    assert.equal((await listRedirectUris(sql, app)).length, MOST_REDIRECT_URIS);
    assert.deepEqual(await addRedirectUri(sql, 999_999, uri('https://a.example/')), { kind: 'unknown' });
  });
});
