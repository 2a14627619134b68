import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { startApi, type TestApi } from '../../test/support/api.ts';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import type { RateLimits } from '../config.ts';
import { migrate } from '../db/migrate.ts';
import { createApplication } from '../grants/applications.ts';
import { createPracticeGrant, findGrant, type Grant, saveGrant } from '../grants/grants.ts';
import { createKey } from '../grants/keys.ts';
import { makeVault } from '../grants/vault.ts';
import { generateSecret, parseKeyring } from '../keyring.ts';
import type { Routes } from './http.ts';
import { makeRateLimiter, type RateLimiter } from './rate-limits.ts';
import { answer } from './respond.ts';

interface Tenant {
  readonly key: string;
  readonly grant: Grant;
}

const NONE: RateLimits = { grantRequestsPerSecond: 0, grantUploadsPerSecond: 0, applicationRequestsPerSecond: 0 };

let database: TestDatabase;
let api: TestApi;
let limiter: RateLimiter;
let one: Tenant;
let other: Tenant;
let clock = 1000;
let lookedUp: string[] = [];
let parsed = 0;

const routes: Routes = (http) => {
  http.get('/v3/grants/:identifier', async (request) => answer(request, {}));
  http.post('/v3/grants/:identifier/messages/send', async (request) => {
    parsed += 1;
    return answer(request, {});
  });
  http.get('/v3/webhooks', async (request) => answer(request, []));
};

before(async () => {
  database = await testDatabase(migrate);
  one = await tenant('one');
  other = await tenant('other');
  // The limits of the test that runs: the server is the same.
  api = await startApi(database.sql, [routes], undefined, {
    limiter: { check: (request, reply) => limiter.check(request, reply) },
  });
});
after(async () => {
  await api.close();
  await database.drop();
});
beforeEach(() => {
  lookedUp = [];
  parsed = 0;
});

async function tenant(name: string): Promise<Tenant> {
  const { sql } = database;
  const vault = makeVault(parseKeyring(generateSecret()));
  const application = await createApplication(sql, { name, environment: 'production' });
  assert.ok(application);
  const grant = await createPracticeGrant({ sql, vault }, application.serial);
  return { grant, key: (await createKey(sql, application.serial)).key };
}

function limit(limits: Partial<RateLimits>): void {
  limiter = makeRateLimiter({
    limits: { ...NONE, ...limits },
    async findGrantId(app, email) {
      lookedUp.push(email);
      return (await findGrant(database.sql, app, email))?.id ?? null;
    },
    now: () => clock,
  });
}

async function ask(path: string, { key }: Tenant = one, init: RequestInit = {}): Promise<Response> {
  return await fetch(api.url + path, { ...init, headers: { authorization: `Bearer ${key}`, ...init.headers } });
}

async function statuses(times: number, path: string, tenant?: Tenant, init?: RequestInit): Promise<number[]> {
  const found: number[] = [];
  for (let time = 0; time < times; time++) {
    const response = await ask(path, tenant, init);
    await response.arrayBuffer();
    found.push(response.status);
  }
  return found;
}

describe('rate limits', () => {
  it('answer 429 with Retry-After in the form of every other refusal, without a provider', async () => {
    limit({ applicationRequestsPerSecond: 2 });
    assert.deepEqual(await statuses(2, '/v3/webhooks'), [200, 200]);
    const refused = await ask('/v3/webhooks');
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get('retry-after'), '1');
    assert.equal(refused.headers.get('content-type'), 'application/json');
    assert.deepEqual(await refused.json(), {
      request_id: refused.headers.get('x-request-id'),
      error: { type: 'api.rate_limit_error', message: 'Too many requests, please try again shortly.' },
    });
    assert.equal(limiter.refused.applicationRequestsPerSecond, 1);
    clock += 500;
    assert.deepEqual(await statuses(2, '/v3/webhooks'), [200, 429]);
  });

  it('leave the other application everything', async () => {
    limit({ applicationRequestsPerSecond: 3, grantRequestsPerSecond: 2 });
    const path = `/v3/grants/${other.grant.id}`;
    assert.deepEqual(
      await statuses(4, path, one),
      [200, 200, 429, 429],
      'the grant of another, asked for with our key',
    );
    assert.deepEqual(await statuses(2, path, other), [200, 200]);
    limit({ applicationRequestsPerSecond: 2 });
    assert.deepEqual(await statuses(3, '/v3/webhooks', one), [200, 200, 429]);
    assert.deepEqual(await statuses(2, '/v3/webhooks', other), [200, 200]);
  });

  it('know a grant under every name, by one look-up in ten seconds', async () => {
    limit({ grantRequestsPerSecond: 6 });
    const { id, email } = one.grant;
    const names = [
      id,
      `grant:${id}`,
      id.toUpperCase(),
      email,
      `email:${email}`,
      encodeURIComponent(email.toUpperCase()),
    ];
    for (const name of names) assert.deepEqual(await statuses(1, `/v3/grants/${name}`), [200], name);
    for (const name of names) assert.deepEqual(await statuses(1, `/v3/grants/${name}`), [429], name);
    assert.deepEqual(lookedUp, [email]);
    clock += 10_000;
    assert.deepEqual(await statuses(1, `/v3/grants/${email}`), [200]);
    assert.equal(lookedUp.length, 2);
  });

  it('hold also for requests that come while an address is looked up', async () => {
    let resolve: (id: string | null) => void = () => {};
    const promise = new Promise<string | null>((resolved) => {
      resolve = resolved;
    });
    let asked = 0;
    limiter = makeRateLimiter({
      limits: { grantRequestsPerSecond: 100, grantUploadsPerSecond: 0, applicationRequestsPerSecond: 3 },
      findGrantId: () => {
        asked += 1;
        return promise;
      },
      now: () => clock,
    });
    const all = Array.from({ length: 8 }, (_, index) => ask(`/v3/grants/${index}@example.com`));
    while (asked < 8) await new Promise(setImmediate);
    resolve(null);
    const answered = (await Promise.all(all)).map(({ status }) => status).sort();
    assert.deepEqual(answered, [200, 200, 200, 429, 429, 429, 429, 429]);
  });

  it('keep the grants of an application apart: hammering on one leaves the rest to the others', async () => {
    limit({ applicationRequestsPerSecond: 10, grantRequestsPerSecond: 2 });
    const vault = makeVault(parseKeyring(generateSecret()));
    const mail = { provider: 'imap', email: 'second@example.com' } as const;
    const { grant } = await saveGrant({ sql: database.sql, vault }, one.grant.app, mail);
    assert.deepEqual((await statuses(20, `/v3/grants/${one.grant.id}`)).filter((status) => status === 200).length, 2);
    assert.deepEqual(await statuses(3, `/v3/grants/${grant.id}`), [200, 200, 429]);
    assert.deepEqual(await statuses(7, '/v3/webhooks'), [200, 200, 200, 200, 200, 200, 429]);
  });

  it('count names that can be no grant for the application alone', async () => {
    limit({ applicationRequestsPerSecond: 3, grantRequestsPerSecond: 1 });
    for (const name of ['nobody', `external:${one.grant.id}`, `${'a'.repeat(300)}@example.com`]) {
      assert.deepEqual(await statuses(1, `/v3/grants/${name}`), [200], name);
    }
    assert.deepEqual(await statuses(1, '/v3/grants/nobody'), [429]);
    assert.deepEqual(lookedUp, []);
    assert.deepEqual(limiter.refused, {
      applicationRequestsPerSecond: 1,
      grantRequestsPerSecond: 0,
      grantUploadsPerSecond: 0,
    });
  });

  it('count uploads besides, and refuse before a body is read', async () => {
    limit({ grantRequestsPerSecond: 5, grantUploadsPerSecond: 1 });
    const path = `/v3/grants/${one.grant.id}/messages/send`;
    const json = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' };
    assert.deepEqual(await statuses(1, path, one, json), [200]);
    // No part of this server reads multipart: 415 says that the limit let it pass.
    const upload = { method: 'POST', headers: { 'Content-Type': 'multipart/form-data; boundary=x' }, body: '--x--' };
    assert.deepEqual(await statuses(2, path, one, upload), [415, 429]);
    assert.deepEqual(await statuses(4, path, one, json), [200, 200, 200, 429]);
    assert.equal(limiter.refused.grantUploadsPerSecond, 1);
    assert.equal(parsed, 4);

    // Half a body: only what never reads it can answer.
    const answered = await api.raw(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${one.key}\r\nConnection: close\r\n` +
        'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{',
    );
    assert.match(answered, /^HTTP\/1\.1 429 /);
  });

  it('come after the key: who has none is told so', async () => {
    limit({ applicationRequestsPerSecond: 1 });
    assert.deepEqual(await statuses(3, '/v3/webhooks', { ...one, key: 'none' }), [401, 401, 401]);
    assert.deepEqual(await statuses(2, '/v3/webhooks'), [200, 429]);
  });

  it('let a request pass to whatever it meets where an address cannot be looked up', async () => {
    limiter = makeRateLimiter({
      limits: { ...NONE, grantRequestsPerSecond: 1 },
      findGrantId: async () => Promise.reject(new Error('the database is away')),
      now: () => clock,
    });
    assert.deepEqual(await statuses(2, `/v3/grants/${one.grant.email}`), [200, 429]);
  });

  it('are none at 0', async () => {
    limit({});
    assert.ok((await statuses(50, `/v3/grants/${one.grant.id}`)).every((status) => status === 200));
    assert.deepEqual(lookedUp, []);
  });
});
