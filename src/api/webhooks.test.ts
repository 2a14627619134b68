import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Behaviour, dribble, echoChallenge, flood, hang, hangUp, status } from '../../test/support/receiver.ts';
import { type Answer, webhookApi } from '../../test/support/webhook-api.ts';
import { wireId } from '../ids.ts';
import { secretContext } from '../notify/subscriptions.ts';

const TRIGGERS = ['message.opened', 'message.link_clicked', 'thread.replied'];

test('the page’s request makes a webhook, after its challenge and with all fields', async (t) => {
  const { call, receiver, ground } = await webhookApi(t);
  const before = Math.floor(Date.now() / 1000);
  const { status: code, data } = await call('POST', '/v3/webhooks/', {
    trigger_types: TRIGGERS,
    webhook_url: receiver.url,
    description: 'Email engagement tracking',
    unknown_member: true,
  });
  assert.equal(code, 200);
  const {
    id,
    webhook_secret: secret,
    status_updated_at: changed,
    created_at: made,
    updated_at: updated,
    ...rest
  } = data;
  assert.match(String(id), /^wh_[0-9a-z]{26}$/);
  assert.match(String(secret), /^whsec_[A-Za-z0-9+/]{43}=$/);
  for (const time of [changed, made, updated]) assert.ok(Number.isInteger(time) && Number(time) >= before);
  assert.deepEqual(rest, {
    description: 'Email engagement tracking',
    trigger_types: TRIGGERS,
    webhook_url: receiver.url,
    status: 'active',
    notification_email_addresses: [],
    compressed_delivery: false,
  });
  const [challenge] = receiver.received;
  assert.equal(challenge?.method, 'GET');
  assert.match(challenge?.query.get('challenge') ?? '', /^[0-9a-f-]{36}$/);
  const [row] = await ground.sql<{ id: string; secret: Buffer }[]>`select id, secret from destinations`;
  assert.ok(row && !row.secret.includes(String(secret)));
  assert.equal(ground.vault.open(row.secret, secretContext(row.id)), secret);

  const one = await call('GET', `/v3/webhooks/${id}`);
  const { webhook_secret: _shownOnce, ...shown } = data;
  assert.deepEqual(one.data, shown);
  assert.deepEqual((await call('GET', '/v3/webhooks')).list, [shown]);
});

test('a query in the URL stays as it is, the challenge follows it', async (t) => {
  const { call, receiver } = await webhookApi(t);
  const url = `${receiver.url}?a=b%20c&x=1+2`;
  const { data } = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: url });
  assert.equal(data.webhook_url, url);
  assert.equal(receiver.received[0]?.query.get('a'), 'b c');
  assert.ok(receiver.received[0]?.query.get('challenge'));
});

test('a chunked challenge answer is accepted', async (t) => {
  const { call, receiver } = await webhookApi(t);
  receiver.behave((request, response) => {
    response.writeHead(200);
    response.write((request.query.get('challenge') ?? '').slice(0, 5));
    response.end((request.query.get('challenge') ?? '').slice(5));
  }, 'everything');
  const { status: code } = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: receiver.url });
  assert.equal(code, 200);
});

const FAILING: readonly (readonly [name: string, behaviour: Behaviour, message: string])[] = [
  ['404', status(404), 'status is not ok, got 404'],
  [
    '201',
    (request, response) => void response.writeHead(201).end(request.query.get('challenge')),
    'status is not ok, got 201',
  ],
  ['redirect', status(302, { location: '/' }), 'status is not ok, got 302; redirects are not followed'],
  ['empty body', status(200), 'the body is not exactly the challenge'],
  [
    'quoted',
    (request, response) => void response.end(`"${request.query.get('challenge')}"`),
    'the body is not exactly the challenge',
  ],
  [
    'newline',
    (request, response) => void response.end(`${request.query.get('challenge')}\n`),
    'the body is not exactly the challenge',
  ],
  ['endless body', flood, 'the body is not exactly the challenge'],
  ['silence', hang, 'no complete answer within 0.3 s'],
  ['dribbling', dribble(10), 'no complete answer within 0.3 s'],
  ['hanging up', hangUp, 'the connection ended before the answer (UND_ERR_SOCKET)'],
];

test('a receiver that does not answer its challenge gets no webhook', async (t) => {
  const { call, receiver, stored } = await webhookApi(t);
  for (const [name, behaviour, message] of FAILING) {
    receiver.behave(behaviour, 'everything');
    const { status: code, error } = await call('POST', '/v3/webhooks', {
      trigger_types: TRIGGERS,
      webhook_url: receiver.url,
    });
    assert.equal(code, 400, name);
    assert.deepEqual(error, { type: '70005', message: `unable.verify.webhook_url : ${message}` }, name);
  }
  assert.equal(await stored(), 0);
});

test('where nothing may be sent, nothing is', async (t) => {
  const { call, stored } = await webhookApi(t);
  for (const [url, type, message] of [
    ['https://inside.test/', '70005', 'unable.verify.webhook_url : the host leads to a private address'],
    ['https://169.254.169.254/x', '70005', 'unable.verify.webhook_url : the host leads to a metadata address'],
    ['https://2852039166/x', '70005', 'unable.verify.webhook_url : the host leads to a metadata address'],
    ['https://[::ffff:a00:1]/', '70005', 'unable.verify.webhook_url : the host leads to a private address'],
    ['http://public.test/', '70005', 'unable.verify.webhook_url : a public host must be reached by https'],
    ['https://nowhere.test/', '70005', 'unable.verify.webhook_url : nowhere.test could not be resolved (ENOTFOUND)'],
    ['ftp://a.test/', 'api.invalid_request_error', 'webhook_url must begin with https://'],
    ['https://a:b@a.test/', 'api.invalid_request_error', 'webhook_url must not contain a user name or password'],
    ['', 'api.invalid_request_error', 'webhook_url must begin with https://'],
  ] as const) {
    const { status: code, error } = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: url });
    assert.equal(code, 400);
    assert.deepEqual(error, { type, message });
  }
  assert.equal(await stored(), 0);
});

test('every trigger of the reference is accepted, another one is named in the refusal', async (t) => {
  const { call, receiver } = await webhookApi(t);
  const good = [
    'message.opened.legacy',
    'notetaker.meeting_state',
    'message.created.cleaned',
    'grant.imap_sync_completed',
  ];
  const { status: code, data } = await call('POST', '/v3/webhooks', {
    trigger_types: [...good, 'message.opened.legacy'],
    webhook_url: receiver.url,
  });
  assert.equal(code, 200);
  assert.deepEqual(data.trigger_types, good);
  const bad = await call('POST', '/v3/webhooks', { trigger_types: ['message.opend'], webhook_url: receiver.origin });
  assert.equal(bad.status, 400);
  assert.equal(bad.error.type, 'api.invalid_request_error');
  assert.match(bad.error.message, /trigger_types must not contain "message.opend".*message\.opened, /);
  for (const body of [
    { webhook_url: receiver.url },
    { webhook_url: receiver.url, trigger_types: [] },
    { webhook_url: receiver.url, trigger_types: 'message.opened' },
    { webhook_url: receiver.url, trigger_types: TRIGGERS, compressed_delivery: 'yes' },
    { webhook_url: receiver.url, trigger_types: TRIGGERS, notification_email_addresses: ['nobody'] },
    { webhook_url: receiver.url, trigger_types: TRIGGERS, description: 'a\u0000b' },
    { trigger_types: TRIGGERS },
  ]) {
    const refused = await call('POST', '/v3/webhooks', body);
    assert.equal(refused.status, 400, JSON.stringify(body));
    assert.match(refused.error.message, /trigger_types|compressed_delivery|notification_email|description|webhook_url/);
  }
});

test('a URL belongs to one webhook of an application, however it is written and however fast one asks', async (t) => {
  const { call, receiver, stored } = await webhookApi(t);
  const ask = (url: string): Promise<Answer> =>
    call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: url });
  assert.equal((await ask(receiver.origin)).status, 200);
  const again = await ask(`${receiver.origin.toUpperCase().replace('HTTP', 'http')}/`);
  assert.equal(again.status, 400);
  assert.equal(again.error.type, '70005');
  assert.match(again.error.message, /webhook_url is used by another webhook/);
  const both = await Promise.all([ask(receiver.url), ask(receiver.url)]);
  assert.deepEqual(both.map((answer) => answer.status).sort(), [200, 400]);
  assert.equal(await stored(), 2);
});

test('a PUT changes what it names and nothing else', async (t) => {
  const { call, receiver } = await webhookApi(t);
  const made = await call('POST', '/v3/webhooks', {
    trigger_types: TRIGGERS,
    webhook_url: receiver.url,
    description: 'one',
  });
  const path = `/v3/webhooks/${made.data.id}`;
  const changed = await call('PUT', path, { description: 'two', compressed_delivery: true });
  const { webhook_secret: _secret, updated_at: _then, ...before } = made.data;
  const { updated_at: _now, ...after } = changed.data;
  assert.deepEqual(after, { ...before, description: 'two', compressed_delivery: true });
  const more = await call('PUT', path, {
    trigger_types: ['message.opened'],
    notification_email_addresses: ['a@b.test'],
  });
  assert.deepEqual(more.data.trigger_types, ['message.opened']);
  assert.deepEqual(more.data.notification_email_addresses, ['a@b.test']);
  assert.equal(receiver.received.length, 1, 'one challenge, for the creation');
  assert.equal((await call('PUT', path, {})).status, 200);
  assert.equal((await call('PUT', path, { trigger_types: ['nonsense'] })).status, 400);
  assert.equal((await call('GET', path)).data.description, 'two');
});

test('one may begin paused, after its challenge all the same', async (t) => {
  const { call, receiver, stored } = await webhookApi(t);
  const ask = (body: object): Promise<Answer> =>
    call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: receiver.url, ...body });
  for (const word of ['failed', 'failing', 'nonsense']) {
    const bad = await ask({ status: word });
    assert.deepEqual(bad.error, { type: 'api.invalid_request_error', message: 'status must be active or paused' });
  }
  assert.equal(receiver.received.length, 0);
  receiver.behave(status(404), 'everything');
  assert.equal((await ask({ status: 'paused' })).error.type, '70005');
  assert.equal(await stored(), 0);
  receiver.behave(echoChallenge, 'everything');
  for (const [word, shown] of [
    ['pause', 'paused'],
    ['paused', 'paused'],
    ['inactive', 'paused'],
    ['active', 'active'],
  ]) {
    const made = await ask({ status: word });
    assert.deepEqual([made.status, made.data.status], [200, shown]);
    await call('DELETE', `/v3/webhooks/${made.data.id}`);
  }
});

test('three words pause, coming back is challenged, a failure leaves it paused', async (t) => {
  const { call, receiver } = await webhookApi(t);
  const made = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: receiver.url });
  const path = `/v3/webhooks/${made.data.id}`;
  for (const word of ['pause', 'paused', 'inactive']) {
    const paused = await call('PUT', path, { status: word });
    assert.equal(paused.data.status, 'paused');
    receiver.behave(status(500), 'everything');
    const refused = await call('PUT', path, { status: 'active', description: 'changed' });
    assert.deepEqual(refused.error, {
      type: '70005',
      message: 'unable.verify.webhook_url : status is not ok, got 500',
    });
    assert.deepEqual((await call('GET', path)).data, paused.data);
    receiver.behave(echoChallenge, 'everything');
    assert.equal((await call('PUT', path, { status: 'active' })).data.status, 'active');
  }
  const asked = receiver.received.length;
  assert.equal((await call('PUT', path, { status: 'active' })).status, 200);
  assert.equal(receiver.received.length, asked + 1, 'also where it is active already');
  assert.equal((await call('PUT', path, { description: 'as before' })).data.status, 'active');
  assert.equal(receiver.received.length, asked + 1);
  const none = { status: null, description: null, notification_email_addresses: null, webhook_url: null };
  assert.equal((await call('PUT', path, { ...none, trigger_types: null })).data.description, 'as before');
  const bad = await call('PUT', path, { status: 'failed' });
  assert.deepEqual(bad.error, { type: 'api.invalid_request_error', message: 'status must be active or paused' });
});

test('a new address is challenged, and must not be another webhook’s', async (t) => {
  const { call, receiver } = await webhookApi(t);
  const made = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: receiver.url });
  const other = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: `${receiver.origin}/two` });
  const path = `/v3/webhooks/${made.data.id}`;
  assert.equal((await call('PUT', path, { webhook_url: other.data.webhook_url })).error.type, '70005');
  receiver.behave(status(404), 'everything');
  assert.equal((await call('PUT', path, { webhook_url: `${receiver.origin}/new` })).error.type, '70005');
  assert.deepEqual((await call('PUT', path, { webhook_url: 'https://inside.test/' })).error, {
    type: '70005',
    message: 'unable.verify.webhook_url : the host leads to a private address',
  });
  receiver.behave(echoChallenge, 'everything');
  const moved = await call('PUT', path, { webhook_url: `${receiver.origin}/new` });
  assert.equal(moved.data.webhook_url, `${receiver.origin}/new`);
  assert.equal((await call('PUT', path, { webhook_url: `${receiver.origin}/new` })).status, 200);
});

test('a deleted webhook is gone with what was to be delivered to it', async (t) => {
  const { call, receiver, ground } = await webhookApi(t);
  const made = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: receiver.url });
  await ground.sql`
    insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
    select app, id, gen_random_uuid(), now() from destinations`;
  const path = `/v3/webhooks/${made.data.id}`;
  assert.deepEqual((await call('DELETE', path)).data, { status: 'success' });
  assert.equal((await ground.sql`select from pending_deliveries`).length, 0);
  const unknown = { type: '70000', message: 'destination.id.not.found : record not found' };
  for (const id of [made.data.id, 'wh_nonsense', '00000000-0000-0000-0000-000000000000']) {
    for (const method of ['GET', 'PUT', 'DELETE'] as const) {
      const answer = await call(method, `/v3/webhooks/${id}`, method === 'PUT' ? {} : undefined);
      assert.equal(answer.status, 400);
      assert.deepEqual(answer.error, unknown);
    }
  }
});

test('an application sees its own webhooks only', async (t) => {
  const { call, receiver, ground } = await webhookApi(t);
  const { sql } = ground;
  await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: receiver.url });
  await sql`insert into applications (id, name, environment) values (gen_random_uuid(), 'other', 'production')`;
  await sql`update destinations set app = (select serial from applications where name = 'other')`;
  const [row] = await sql<{ id: string }[]>`select id from destinations`;
  assert.deepEqual((await call('GET', '/v3/webhooks')).list, []);
  assert.ok(row);
  assert.equal((await call('GET', `/v3/webhooks/${wireId('wh', row.id)}`)).error.type, '70000');
  assert.equal((await call('DELETE', `/v3/webhooks/${wireId('wh', row.id)}`)).error.type, '70000');
  const mine = await call('POST', '/v3/webhooks', { trigger_types: TRIGGERS, webhook_url: receiver.url });
  assert.equal(mine.status, 200, 'the same URL in another application is another webhook');
});
