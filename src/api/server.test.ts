import assert from 'node:assert/strict';
import { connect as connectSocket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Type } from '@sinclair/typebox';
import { startApi, type TestApi } from '../../test/support/api.ts';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import { connect } from '../db/pool.ts';
import { ApiError, invalid } from '../errors.ts';
import { firstApplication } from '../grants/applications.ts';
import { createKey } from '../grants/keys.ts';
import { caller, practiceCaller, type Routes } from './http.ts';
import { answer } from './respond.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const routes: Routes = (http) => {
  http.get('/v3/who', async (request) => answer(request, caller(request)));
  http.post('/v3/echo', async (request) => answer(request, { body: request.body }));
  http.put('/v3/things/:id', async (request) => answer(request, request.params));
  http.delete('/v3/things/:id', async (request) => answer(request, { body: request.body }));
  http.post('/v3/strict', { schema: { body: Type.Object({ n: Type.Integer() }) } }, async (request) =>
    answer(request, request.body),
  );
  http.post('/v3/own-rule', { config: { nulAllowedIn: ['a'] } }, async (request) => answer(request, request.body));
  http.post('/v3/cut', { onRequestAbort: async (_request) => void http.server.emit('cut-off') }, async (request) =>
    answer(request, request.body),
  );
  http.get('/v3/bug', async () => {
    throw new Error('the password is hunter2');
  });
  http.get('/v3/refused', async () => {
    throw new ApiError(409, 'api.conflict', 'No.', { code: 5 });
  });
  http.get('/v3/named', async () => {
    throw invalid('to[0].email', 'must be an address');
  });
  http.get('/v3/operator-only', async (request) => answer(request, practiceCaller(request)));
  http.get('/unguarded', async (request) => answer(request, caller(request)));
};

let database: TestDatabase;
let api: TestApi;
let key: string;

before(async () => {
  database = await testDatabase(migrate);
  const { application } = await firstApplication(database.sql);
  ({ key } = await createKey(database.sql, application.serial));
  api = await startApi(database.sql, [routes]);
});
after(async () => {
  await api.close();
  await database.drop();
});

async function call(
  method: string,
  path: string,
  init: { body?: string | Buffer; headers?: Record<string, string> } = {},
): Promise<{ status: number; headers: Headers; body: Record<string, unknown>; error: Record<string, unknown> }> {
  const response = await fetch(api.url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, ...init.headers },
    ...(init.body === undefined ? {} : { body: init.body }),
  });
  const body = JSON.parse(await response.text());
  return { status: response.status, headers: response.headers, body, error: body.error ?? {} };
}

const json = { 'content-type': 'application/json' };

describe('every answer', () => {
  const requests: readonly (readonly [string, string, string])[] = [
    ['a success', 'GET /v3/who', ''],
    ['a trailing slash', 'GET /v3/who/', ''],
    ['an unknown path', 'GET /v3/nothing', ''],
    ['a wrong method', 'PUT /v3/who', ''],
    ['a refusal', 'GET /v3/refused', ''],
    ['a bug', 'GET /v3/bug', ''],
    ['bad JSON', 'POST /v3/echo', '{'],
    ['a schema error', 'POST /v3/strict', '{}'],
    ['a malformed path', 'GET /v3/%zz', ''],
    ['no key', 'GET /v3/who?nokey', ''],
  ];
  for (const [name, line, body] of requests) {
    it(`is application/json without parameters and carries its request id twice: ${name}`, async () => {
      const authorization = line.includes('nokey') ? '' : `Authorization: Bearer ${key}\r\n`;
      const content = body === '' ? '' : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
      const raw = await api.raw(
        `${line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${authorization}${content}\r\n${body}`,
      );
      const [head = '', text = ''] = raw.split('\r\n\r\n');
      const types = head.split('\r\n').filter((header) => /^content-type:/i.test(header));
      assert.deepEqual(
        types.map((header) => header.toLowerCase()),
        ['content-type: application/json'],
      );
      const id = /^x-request-id: (.*)$/im.exec(head)?.[1] ?? '';
      assert.match(id, UUID);
      assert.equal(JSON.parse(text).request_id, id);
    });
  }

  it('has a request id of our own, not one that was sent', async () => {
    const { headers } = await call('GET', '/v3/who', { headers: { 'x-request-id': 'mine', 'request-id': 'mine' } });
    assert.match(headers.get('x-request-id') ?? '', UUID);
  });
});

describe('bodies', () => {
  it('may be empty under a JSON content type, and mean {} (Java, Ruby)', async () => {
    assert.deepEqual((await call('POST', '/v3/echo', { headers: json })).body.data, { body: {} });
    assert.deepEqual((await call('POST', '/v3/echo', { headers: json, body: '' })).body.data, { body: {} });
    assert.deepEqual((await call('POST', '/v3/echo')).body.data, { body: {} });
    assert.deepEqual((await call('DELETE', '/v3/things/1', { headers: json })).body.data, { body: {} });
    assert.deepEqual((await call('DELETE', '/v3/things/1', { headers: json, body: '{}' })).body.data, { body: {} });
  });

  it('are JSON under any writing of that content type', async () => {
    for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/json;charset=UTF-8']) {
      const { status, body } = await call('POST', '/v3/echo', { headers: { 'content-type': type }, body: '{"a":"ü"}' });
      assert.equal(status, 200, type);
      assert.deepEqual(body.data, { body: { a: 'ü' } });
    }
    assert.equal((await call('POST', '/v3/echo', { headers: json, body: '\uFEFF{}' })).status, 200);
  });

  it('that are no JSON say where', async () => {
    const { status, error } = await call('POST', '/v3/echo', { headers: json, body: '{"a": 1,}' });
    assert.equal(status, 400);
    assert.equal(error.type, 'api.invalid_request_payload');
    assert.match(String(error.message), /^Invalid JSON payload format\. \(.*position 8/);
  });

  it('are refused when they are not UTF-8 or bring a prototype', async () => {
    const bodies = [Buffer.from([0x22, 0xff, 0x22]), '{"__proto__": {"admin": true}}', '{"\\u005f_proto__": 1}'];
    for (const body of bodies) {
      const { status, error } = await call('POST', '/v3/echo', { headers: json, body });
      assert.equal(status, 400);
      assert.equal(error.type, 'api.invalid_request_payload');
    }
    const { body } = await call('POST', '/v3/echo', { headers: json, body: '{"a": "\\u003c", "constructor": "fine"}' });
    assert.deepEqual(body.data, { body: { a: '<', constructor: 'fine' } });
  });

  it('are refused when they are nested out of all measure, also with escapes', async () => {
    const nested = (inside: string) => `{"a":${'['.repeat(1e6)}${inside}${']'.repeat(1e6)}}`;
    for (const inside of ['', '"\\u003c"', '"__proto__"']) {
      const { status, error } = await call('POST', '/v3/echo', { headers: json, body: nested(inside) });
      assert.equal(status, 400);
      assert.match(String(error.message), /^a\[0\].* must not be nested deeper than 32 levels$/);
    }
  });

  it('full of wrong items are refused before each item is looked at', async () => {
    const body = `{"n":[${'1,'.repeat(1_500_000)}1]}`;
    const { status, error } = await call('POST', '/v3/strict', { headers: json, body });
    assert.deepEqual([status, error.message], [400, 'n must have at most 1000 items']);
  });

  it('hold a NUL only where a route asks for it', async () => {
    const refused = await call('POST', '/v3/echo', { headers: json, body: '{"a":["\\u0000"]}' });
    assert.deepEqual([refused.status, refused.error.message], [400, 'a[0] must not contain a NUL character']);
    const { status, body } = await call('POST', '/v3/own-rule', { headers: json, body: '{"a":["\\u0000"]}' });
    assert.deepEqual([status, body.data], [200, { a: ['\0'] }]);
  });

  it('may have 3 MB and no more', async () => {
    const fits = await call('POST', '/v3/echo', {
      headers: json,
      body: JSON.stringify('x'.repeat(3 * 1024 * 1024 - 2)),
    });
    assert.equal(fits.status, 200);
    const { status, error } = await call('POST', '/v3/echo', {
      headers: json,
      body: JSON.stringify('x'.repeat(3 * 1024 * 1024)),
    });
    assert.equal(status, 413);
    assert.equal(error.type, 'api.invalid_request_error');
  });

  it('cut off by the caller are the caller’s fault, not the database’s', async () => {
    const socket = connectSocket(Number(new URL(api.url).port), '127.0.0.1');
    const served = new Promise<void>((resolve) => {
      api.http.server.once('cut-off', resolve);
    });
    socket.write(
      `POST /v3/cut HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    );
    socket.end();
    await served;
    const lines = api.log.filter(({ route }) => route === '/v3/cut');
    assert.deepEqual(
      lines.map(({ event }) => event),
      ['request.aborted'],
    );
  });

  it('of another kind are refused as such', async () => {
    const { status, error } = await call('POST', '/v3/echo', {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'a=b',
    });
    assert.equal(status, 415);
    assert.match(String(error.message), /application\/json/);
  });

  it('are validated without conversions', async () => {
    const { status, error } = await call('POST', '/v3/strict', { headers: json, body: '{"n": "1"}' });
    assert.equal(status, 400);
    assert.deepEqual(error, { type: 'api.invalid_request_error', message: 'n must be a whole number' });
    assert.equal(
      (await call('POST', '/v3/strict', { headers: json, body: 'null' })).error.message,
      'the request body must be an object',
    );
  });
});

describe('paths', () => {
  it('does not read the body of a request for no path, nor for no method of one', async () => {
    const body = '{"not json';
    assert.equal((await call('POST', '/nothing', { headers: json, body })).status, 404);
    assert.equal((await call('POST', '/v3/nothing', { headers: json, body })).status, 404);
    assert.equal((await call('DELETE', '/v3/named', { headers: json, body })).status, 405);
  });

  it('are 404 where nothing is, with or without a key', async () => {
    const expected = { type: 'api.not_found_error', message: 'Resource not found.' };
    for (const path of ['/v3', '/v3/nothing', '/v3/who/more']) {
      const { status, error } = await call('GET', path, path === '/v3' ? { headers: { authorization: '' } } : {});
      assert.equal(status, 404, path);
      assert.deepEqual(error, expected);
    }
  });

  it('are 405 for a method they do not know, and name those they do', async () => {
    const { status, headers } = await call('PATCH', '/v3/things/a%40b.com?x=1', { headers: json, body: '{}' });
    assert.equal(status, 405);
    assert.equal(headers.get('allow'), 'DELETE, PUT');
  });

  it('may hold an address, encoded or raw, of any length an address can have', async () => {
    const address = `${'a'.repeat(64)}@${'b'.repeat(185)}.com`;
    for (const id of [address, encodeURIComponent(address), `email:${address}`]) {
      const { status, body } = await call('PUT', `/v3/things/${id}`, { headers: json });
      assert.equal(status, 200);
      assert.deepEqual(body.data, { id: decodeURIComponent(id) });
    }
  });
});

describe('keys', () => {
  it('open /v3 and tell the application', async () => {
    const { status, body } = await call('GET', '/v3/who');
    assert.equal(status, 200);
    const { application } = await firstApplication(database.sql);
    assert.deepEqual(body.data, {
      app: application.serial,
      applicationId: application.id,
      environment: 'production',
    });
    assert.equal((await call('GET', '/v3/who', { headers: { authorization: `bearer  ${key}` } })).status, 200);
  });

  const wrong = ['', 'Bearer', 'Bearer ', 'Bearer x', 'Basic eDp4', 'Bearer a b'];
  for (const authorization of wrong) {
    it(`do not: "${authorization}"`, async () => {
      const { status, error, headers } = await call('GET', '/v3/who', { headers: { authorization } });
      assert.equal(status, 401);
      assert.equal(error.type, 'api.authentication_error');
      assert.match(String(error.message), /^Unauthorized/);
      assert.equal(headers.get('www-authenticate'), 'Bearer');
    });
  }

  it('are asked for however the path is written', async () => {
    const paths = [
      '/v3/who',
      '/%76%33/who',
      '/v3/who/',
      '/v3/%77ho',
      '//v3/who',
      '/v3//who',
      '/V3/who',
      '/v3/who;x',
      '/./v3/who',
    ];
    for (const path of paths) {
      const raw = await api.raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      assert.match(raw, /^HTTP\/1\.1 40[14] /, path);
    }
    const raw = await api.raw(
      'GET http://evil.example/v3/who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    );
    assert.match(raw, /^HTTP\/1\.1 40[14] /);
  });

  it('are what a handler without guard misses: a bug, not a leak', async () => {
    const { status, error } = await call('GET', '/unguarded');
    assert.equal(status, 500);
    assert.equal(error.message, 'Internal error, contact administrator.');
  });
});

describe('errors', () => {
  it('carry type, message and a provider error as an object', async () => {
    const { status, error } = await call('GET', '/v3/refused');
    assert.equal(status, 409);
    assert.deepEqual(error, { type: 'api.conflict', message: 'No.', provider_error: { code: 5 } });
    assert.deepEqual((await call('GET', '/v3/named')).error, {
      type: 'api.invalid_request_error',
      message: 'to[0].email must be an address',
    });
  });

  it('of our own making tell the caller nothing and the log everything', async () => {
    const { status, body, error } = await call('GET', '/v3/bug');
    assert.equal(status, 500);
    assert.deepEqual(error, { type: 'api.internal_error', message: 'Internal error, contact administrator.' });
    const line = api.log.find((entry) => entry.event === 'request.failed' && entry.request_id === body.request_id);
    assert.match(String(line?.error), /hunter2/);
    assert.equal(line?.route, '/v3/bug');
  });

  it('of a lost database are 503 with Retry-After', async () => {
    const gone = connect('postgres://nobody@127.0.0.1:1/nothing', { max: 1 });
    const lost = await startApi(gone, [routes]);
    const response = await fetch(`${lost.url}/v3/who`, { headers: { authorization: 'Bearer x' } });
    assert.equal(response.status, 503);
    assert.ok(Number(response.headers.get('retry-after')) > 0);
    assert.equal(response.headers.get('content-type'), 'application/json');
    await lost.close();
    await gone.end({ timeout: 0 });
  });
});

describe('the log', () => {
  it('has one line per request, by route and without addresses, keys or bodies', async () => {
    const { body } = await call('PUT', '/v3/things/kim@example.com?email=kim@example.com', {
      headers: json,
      body: '{"x":"kim@example.com"}',
    });
    const lines = api.log.filter((line) => line.request_id === body.request_id);
    assert.equal(lines.length, 1);
    const { ms, time, level, app, ...line } = lines[0] ?? {};
    assert.deepEqual(line, {
      event: 'request.served',
      method: 'PUT',
      route: '/v3/things/:id',
      status: 200,
      request_id: body.request_id,
    });
    assert.equal(typeof ms, 'number');
    assert.equal(typeof app, 'number');
    assert.ok(!JSON.stringify(api.log).includes('kim@example.com'));
    assert.ok(!JSON.stringify(api.log).includes(key));
  });
});
