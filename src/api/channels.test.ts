import assert from 'node:assert/strict';
import { test } from 'node:test';
import { everyTopic, pubsubError } from '../../test/support/pubsub-wire.ts';
import { type Receiver, startReceiver } from '../../test/support/receiver.ts';
import { type WebhookApi, webhookApi } from '../../test/support/webhook-api.ts';

const TOPIC = 'projects/shop-prod/topics/mail-events';
const PATH = '/v3/channels/pubsub';
const TRIGGERS = ['message.opened', 'calendar.created'];

/** The API with a scripted Pub/Sub, at which every topic is ours. */
async function channelApi(context: {
  after(release: () => Promise<void>): void;
}): Promise<WebhookApi & { readonly pubsub: Receiver }> {
  const pubsub = await startReceiver();
  pubsub.behave(everyTopic, 'everything');
  const api = await webhookApi(context, { pubsubEmulator: `127.0.0.1:${pubsub.port}` });
  context.after(() => pubsub.close());
  return { ...api, pubsub };
}

test('a channel is made, shown, changed and deleted, and has no secret', async (t) => {
  const { call, ground } = await channelApi(t);
  const made = await call('POST', `${PATH}/`, {
    topic: TOPIC,
    trigger_types: TRIGGERS,
    description: 'CRM',
    notification_email_addresses: ['dev@shop.test'],
    compressed_delivery: true,
    encryption_key: '',
  });
  assert.equal(made.status, 200);
  const { id, status_updated_at: since, created_at: made_at, updated_at: changed_at, ...rest } = made.data;
  assert.match(String(id), /^ch_[0-9a-z]{26}$/);
  assert.deepEqual(rest, {
    description: 'CRM',
    trigger_types: TRIGGERS,
    topic: TOPIC,
    status: 'active',
    notification_email_addresses: ['dev@shop.test'],
    compressed_delivery: true,
  });
  for (const at of [since, made_at, changed_at]) assert.ok(Number.isInteger(at));
  assert.deepEqual((await call('GET', PATH)).list, [made.data]);
  assert.deepEqual((await call('GET', `${PATH}/${id}`)).data, made.data);

  const paused = await call('PUT', `${PATH}/${id}`, { status: 'pause', description: '' });
  assert.deepEqual([paused.data.status, paused.data.description, paused.data.topic], ['paused', '', TOPIC]);
  const back = await call('PUT', `${PATH}/${id}/`, { status: 'active', topic: 'projects/shop-prod/topics/other' });
  assert.deepEqual([back.data.status, back.data.topic], ['active', 'projects/shop-prod/topics/other']);
  assert.deepEqual([...(await ground.sql`select secret from destinations`)], [{ secret: null }]);

  assert.deepEqual((await call('DELETE', `${PATH}/${id}`)).data, { status: 'success' });
  assert.deepEqual((await call('GET', PATH)).list, []);
  for (const method of ['GET', 'DELETE', 'PUT'] as const) {
    const gone = await call(method, `${PATH}/${id}`, method === 'PUT' ? {} : undefined);
    assert.deepEqual([gone.status, gone.error.type], [400, '70000'], method);
  }
});

test('a channel may begin paused', async (t) => {
  const { call } = await channelApi(t);
  const made = await call('POST', PATH, { topic: TOPIC, trigger_types: TRIGGERS, status: 'pause' });
  assert.deepEqual([made.status, made.data.status], [200, 'paused']);
  const bad = await call('POST', PATH, { topic: `${TOPIC}-2`, trigger_types: TRIGGERS, status: 'failed' });
  assert.match(bad.error.message, /status must be active or paused/);
});

test('channels and webhooks are not each other’s', async (t) => {
  const { call, receiver } = await channelApi(t);
  const channel = await call('POST', PATH, { topic: TOPIC, trigger_types: TRIGGERS });
  const webhook = await call('POST', '/v3/webhooks', { webhook_url: receiver.url, trigger_types: TRIGGERS });
  assert.deepEqual(
    (await call('GET', '/v3/webhooks')).list.map(({ id }) => id),
    [webhook.data.id],
  );
  assert.deepEqual(
    (await call('GET', PATH)).list.map(({ id }) => id),
    [channel.data.id],
  );
  assert.equal((await call('GET', `/v3/webhooks/${channel.data.id}`)).error.type, '70000');
  assert.equal((await call('GET', `${PATH}/${webhook.data.id}`)).error.type, '70000');
  assert.equal((await call('POST', `/v3/webhooks/rotate-secret/${channel.data.id}`)).error.type, '70000');
});

test('what is wrong with a channel is said, and nothing is stored', async (t) => {
  const { call, pubsub, stored } = await channelApi(t);
  const refused = async (body: object): Promise<readonly [string, string]> => {
    const { status, error } = await call('POST', PATH, { topic: TOPIC, trigger_types: TRIGGERS, ...body });
    assert.equal(status, 400, JSON.stringify(body));
    return [error.type, error.message];
  };
  for (const topic of [undefined, '']) {
    const { error } = await call('POST', PATH, { ...(topic === undefined ? {} : { topic }), trigger_types: TRIGGERS });
    assert.deepEqual(error, { type: '70005', message: 'invalid.input.format : topic is required' });
  }
  assert.match((await refused({ topic: 'mail-events' }))[1], /topic/);
  assert.match((await refused({ encryption_key: 'k' }))[1], /encryption_key must be empty/);
  assert.match((await refused({ trigger_types: ['message.read'] }))[1], /trigger_types.*"message\.read"; allowed are/);
  pubsub.behave(pubsubError(404, 'NOT_FOUND', 'Topic not found'), 'everything');
  const [type, message] = await refused({});
  assert.equal(type, '70005');
  assert.match(message, /^unable\.verify\.topic : .*not/i);
  assert.equal(await stored(), 0);
});

test('an application has at most five channels, each of another topic', async (t) => {
  const { call, stored } = await channelApi(t);
  for (let n = 1; n <= 5; n++) {
    assert.equal((await call('POST', PATH, { topic: `${TOPIC}-${n}`, trigger_types: TRIGGERS })).status, 200);
    const again = await call('POST', PATH, { topic: `${TOPIC}-${n}`, trigger_types: TRIGGERS });
    assert.match(again.error.message, /topic is used by another channel of the application/);
  }
  const sixth = await call('POST', PATH, { topic: `${TOPIC}-6`, trigger_types: TRIGGERS });
  assert.deepEqual(
    [sixth.status, sixth.error],
    [400, { type: '70005', message: 'an application may have at most 5 channels' }],
  );
  assert.equal(await stored(), 5);
});
