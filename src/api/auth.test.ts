import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startApi, type TestApi } from '../../test/support/api.ts';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import { firstApplication } from '../grants/applications.ts';
import { createKey } from '../grants/keys.ts';
import { createSignInToken } from '../grants/sign-in.ts';
import { practiceCaller, type Routes } from './http.ts';
import { answer } from './respond.ts';

const PUBLIC = 'http://mail.example.com';

const routes: Routes = (http) => {
  http.get('/practice', async (request) => answer(request, practiceCaller(request)));
  http.post('/practice/messages', async (request) => answer(request, practiceCaller(request)));
  http.get('/practices', async (request) => answer(request, 'not below /practice'));
};

let database: TestDatabase;
let api: TestApi;
let key: string;
let app: number;

before(async () => {
  database = await testDatabase(migrate);
  const { application } = await firstApplication(database.sql);
  app = application.serial;
  ({ key } = await createKey(database.sql, app));
  api = await startApi(database.sql, [routes], PUBLIC);
});
after(async () => {
  await api.close();
  await database.drop();
});

interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

async function ask(
  method: 'GET' | 'HEAD' | 'POST',
  url: string,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const response = await api.http.inject({ method, url, headers: { host: 'mail.example.com', ...headers } });
  return { status: response.statusCode, headers: response.headers, text: response.body };
}

async function signIn(): Promise<string> {
  const answered = await ask('GET', `/sign-in?token=${await createSignInToken(database.sql)}`);
  assert.equal(answered.status, 303);
  return String(answered.headers['set-cookie']).split(';', 1)[0] ?? '';
}

describe('signing in', () => {
  it('leads to the practice mailbox with a strict cookie, once', async () => {
    const token = await createSignInToken(database.sql);
    const first = await ask('GET', `/sign-in?token=${token}`);
    assert.equal(first.status, 303);
    assert.equal(first.headers.location, '/practice');
    assert.match(String(first.headers['set-cookie']), /HttpOnly; SameSite=Strict/);
    assert.equal(first.headers['cache-control'], 'no-store');
    assert.equal(first.headers['referrer-policy'], 'no-referrer');
    const second = await ask('GET', `/sign-in?token=${token}`);
    assert.equal(second.status, 403);
    assert.match(String(second.headers['content-type']), /^text\/html/);
    assert.match(second.text, /npm run telltale -- sign-in/);
    assert.equal(second.headers['set-cookie'], undefined);
    assert.ok(!second.text.includes(token));
  });

  it('is not used up by a link checker’s HEAD', async () => {
    const token = await createSignInToken(database.sql);
    assert.notEqual((await ask('HEAD', `/sign-in?token=${token}`)).status, 303);
    assert.equal((await ask('GET', `/sign-in?token=${token}`)).status, 303);
  });

  it('again with the used address goes on where the session is still open', async () => {
    const cookie = await signIn();
    const again = await ask('GET', '/sign-in?token=used', { cookie });
    assert.equal(again.status, 303);
    assert.equal(again.headers['set-cookie'], undefined);
  });

  it('is refused without a token and under a foreign host', async () => {
    assert.equal((await ask('GET', '/sign-in')).status, 403);
    const token = await createSignInToken(database.sql);
    assert.equal((await ask('GET', `/sign-in?token=${token}`, { host: 'evil.example' })).status, 403);
    assert.equal((await ask('GET', `/sign-in?token=${token}`)).status, 303);
  });

  it('gives a Secure cookie where the public URL is https', async () => {
    const secure = await startApi(database.sql, [], 'https://mail.example.com');
    const response = await secure.http.inject({
      url: `/sign-in?token=${await createSignInToken(database.sql)}`,
      headers: { host: 'mail.example.com' },
    });
    assert.match(String(response.headers['set-cookie']), /^__Host-telltale_session=.*; Secure$/);
    await secure.close();
  });
});

describe('the practice mailbox', () => {
  it('shows all applications to the operator and its own to a key', async () => {
    const operator = await ask('GET', '/practice', { cookie: await signIn() });
    assert.deepEqual(JSON.parse(operator.text).data, { app: null });
    const byKey = await ask('GET', '/practice', { authorization: `Bearer ${key}` });
    assert.deepEqual(JSON.parse(byKey.text).data, { app });
  });

  it('stays shut otherwise: a page for browsers, an error for programs', async () => {
    const program = await ask('GET', '/practice');
    assert.equal(program.status, 401);
    assert.equal(JSON.parse(program.text).error.type, 'api.authentication_error');
    const browser = await ask('GET', '/practice', { accept: 'text/html,*/*' });
    assert.equal(browser.status, 401);
    assert.match(browser.text, /npm run telltale -- sign-in/);
    assert.match(String(browser.headers['content-security-policy']), /default-src 'none'/);
    assert.equal((await ask('GET', '/practice/', { cookie: 'telltale_session=1.9999999999.AAAA' })).status, 401);
    assert.equal((await ask('GET', '/%70ractice')).status, 401);
    assert.equal(
      (await ask('GET', '/practice', { authorization: 'Bearer wrong', cookie: await signIn() })).status,
      401,
    );
  });

  it('minds no credentials meant for a proxy in front of it', async () => {
    assert.equal((await ask('GET', '/practice', { authorization: 'Basic eDp4', cookie: await signIn() })).status, 200);
    assert.equal((await ask('GET', '/practice', { authorization: 'Basic eDp4' })).status, 401);
  });

  it('guards its own paths only', async () => {
    assert.equal((await ask('GET', '/practices')).status, 200);
  });

  it('answers a browser only under its own name or a loopback one', async () => {
    const cookie = await signIn();
    const hosts: readonly (readonly [string, number])[] = [
      ['mail.example.com', 200],
      ['MAIL.example.com', 200],
      ['localhost:8080', 200],
      ['127.0.0.1:9', 200],
      ['[::1]:8080', 200],
      ['evil.example', 403],
      ['mail.example.com.evil.example', 403],
      ['localhost.evil.example', 403],
      ['127.0.0.1.evil.example', 403],
      ['mail.example.com:81', 403],
    ];
    for (const [host, status] of hosts)
      assert.equal((await ask('GET', '/practice', { cookie, host })).status, status, host);
    assert.equal((await ask('GET', '/practice', { authorization: `Bearer ${key}`, host: 'evil.example' })).status, 200);
  });

  it('lets the cookie write from its own pages only', async () => {
    const cookie = await signIn();
    const cases: readonly (readonly [Record<string, string>, number])[] = [
      [{ 'sec-fetch-site': 'same-origin' }, 200],
      [{ 'sec-fetch-site': 'same-origin', origin: 'http://mail.example.com' }, 200],
      [{ origin: 'http://mail.example.com' }, 200],
      [{ host: 'localhost:8080', origin: 'http://localhost:8080' }, 200],
      [{}, 403],
      [{ origin: 'null' }, 403],
      [{ origin: 'http://evil.example' }, 403],
      [{ origin: 'http://mail.example.com:81' }, 403],
      [{ 'sec-fetch-site': 'same-site', origin: 'http://mail.example.com' }, 403],
      [{ 'sec-fetch-site': 'cross-site' }, 403],
      [{ 'sec-fetch-site': 'none' }, 403],
    ];
    for (const [headers, status] of cases) {
      assert.equal(
        (await ask('POST', '/practice/messages', { cookie, ...headers })).status,
        status,
        JSON.stringify(headers),
      );
    }
    const byKey = await ask('POST', '/practice/messages', {
      authorization: `Bearer ${key}`,
      origin: 'http://evil.example',
    });
    assert.equal(byKey.status, 200);
  });
});
