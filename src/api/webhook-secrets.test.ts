import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OUTGOING, webhookApi } from '../../test/support/webhook-api.ts';
import { wireId } from '../ids.ts';
import { secretContext } from '../notify/subscriptions.ts';

const TRIGGERS = ['message.opened', 'message.link_clicked', 'thread.replied'];
const UNKNOWN = { type: '70000', message: 'destination.id.not.found : record not found' };

test('a rotation answers the whole webhook with a new secret, whichever route, body or slash', async (t) => {
  const { call, receiver, ground } = await webhookApi(t);
  const made = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: receiver.url });
  const { id, webhook_secret: first, updated_at: then, ...rest } = made.data;
  const secrets = new Set([first]);
  const routes = [
    ['POST', `/v3/webhooks/rotate-secret/${id}`],
    ['PUT', `/v3/webhooks/${id}/rotate-secret`],
  ] as const;
  for (const [method, path] of routes) {
    for (const slash of ['', '/']) {
      for (const body of [undefined, '', {}, '{}', { unknown: 1 }]) {
        const rotated = await call(method, path + slash, body);
        assert.equal(rotated.status, 200, `${method} ${path}${slash} ${JSON.stringify(body)}`);
        const { webhook_secret: secret, updated_at: now, ...shown } = rotated.data;
        assert.match(String(secret), /^whsec_[A-Za-z0-9+/]{43}=$/);
        assert.ok(!secrets.has(secret), 'every secret is a new one');
        secrets.add(secret);
        assert.deepEqual(shown, { id, ...rest });
        assert.ok(Number(now) >= Number(then));
        const [row] = await ground.sql<{ id: string; secret: Buffer }[]>`select id, secret from destinations`;
        assert.ok(row);
        assert.equal(ground.vault.open(row.secret, secretContext(row.id)), secret);
      }
    }
  }
  assert.equal(receiver.received.length, 1, 'one challenge, for the creation');
  assert.equal(Object.hasOwn((await call('GET', `/v3/webhooks/${id}`)).data, 'webhook_secret'), false);
});

test('a rotation changes one webhook of one application, and its status not at all', async (t) => {
  const { call, receiver, ground } = await webhookApi(t);
  const { sql } = ground;
  const sealed = async (id: unknown): Promise<string> => {
    const rows = await sql<{ id: string; secret: Buffer }[]>`select id, secret from destinations`;
    return rows.find((row) => wireId('wh', row.id) === id)?.secret.toString('hex') ?? '';
  };
  const one = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: receiver.url });
  const two = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: `${receiver.origin}/two` });
  const before = await sealed(two.data.id);
  await call('PUT', `/v3/webhooks/${one.data.id}`, { status: 'paused' });
  const rotated = await call('POST', `/v3/webhooks/rotate-secret/${one.data.id}`);
  assert.equal(rotated.data.status, 'paused');
  assert.equal(await sealed(two.data.id), before);

  await sql`insert into applications (id, name, environment) values (gen_random_uuid(), 'other', 'production')`;
  await sql`update destinations set app = (select serial from applications where name = 'other')`;
  const theirs = await sealed(two.data.id);
  for (const id of [two.data.id, 'wh_nonsense', 'rotate-secret', 'ip-addresses']) {
    for (const [method, path] of [
      ['POST', `/v3/webhooks/rotate-secret/${id}`],
      ['PUT', `/v3/webhooks/${id}/rotate-secret`],
    ] as const) {
      const { status: code, error } = await call(method, path);
      assert.deepEqual([code, error], [400, UNKNOWN], `${method} ${path}`);
    }
  }
  assert.equal(await sealed(two.data.id), theirs);
});

test('where deliveries come from is told, and is no webhook’s id', async (t) => {
  const { call } = await webhookApi(t);
  for (const path of ['/v3/webhooks/ip-addresses', '/v3/webhooks/ip-addresses/']) {
    const { status: code, data } = await call('GET', path);
    assert.equal(code, 200);
    assert.deepEqual(data, { ip_addresses: OUTGOING.addresses, updated_at: 1_795_341_600 });
  }
  for (const method of ['PUT', 'DELETE'] as const) {
    const { status: code, error } = await call(method, '/v3/webhooks/ip-addresses');
    assert.deepEqual([code, error], [400, UNKNOWN]);
  }
  const posted = await call('POST', '/v3/webhooks/ip-addresses');
  assert.equal(posted.status, 405);
  assert.equal(posted.headers.allow, 'DELETE, GET, HEAD, PUT');
});
