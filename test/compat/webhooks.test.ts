// Nylas's own Node SDK, unmodified, manages webhooks.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { WebhookTriggers } from 'nylas';
import { nylas } from '../support/nylas.ts';
import { sdkError } from '../support/sdk-error.ts';
import { OUTGOING } from '../support/webhook-api.ts';
import { startWholeApi, type WholeApi } from '../support/whole-api.ts';

let api: WholeApi;
let sdk: ReturnType<typeof nylas>;
let count = 0;

before(async () => {
  api = await startWholeApi();
  sdk = nylas({ apiKey: api.key, apiUri: api.url });
});
after(async () => {
  await api.close();
});

const TRIGGERS = [WebhookTriggers.MessageOpened, WebhookTriggers.MessageLinkClicked, WebhookTriggers.ThreadReplied];

/** A webhook at an address of its own. */
async function create() {
  count += 1;
  return await sdk.webhooks.create({
    requestBody: {
      triggerTypes: TRIGGERS,
      webhookUrl: `${api.receiver.origin}/${count}`,
      description: `number ${count}`,
      notificationEmailAddresses: ['ops@example.com'],
    },
  });
}

describe('webhooks in the official Node SDK', () => {
  let made: Awaited<ReturnType<typeof create>>['data'];
  beforeEach(async () => {
    ({ data: made } = await create());
  });

  it('are created with a secret, once the receiver has echoed the challenge', async () => {
    const { requestId, data } = await create();
    const { id, webhookSecret, statusUpdatedAt, createdAt, updatedAt, ...rest } = data;
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.match(id, /^wh_[0-9a-z]{26}$/);
    assert.match(webhookSecret, /^whsec_[A-Za-z0-9+/]{43}=$/);
    for (const time of [statusUpdatedAt, createdAt, updatedAt]) assert.ok(Number.isInteger(time));
    assert.deepEqual(rest, {
      description: `number ${count}`,
      triggerTypes: TRIGGERS,
      webhookUrl: `${api.receiver.origin}/${count}`,
      status: 'active',
      notificationEmailAddresses: ['ops@example.com'],
      compressedDelivery: false,
    });
    const challenge = api.receiver.received.at(-1);
    assert.equal(challenge?.path, `/${count}`);
    // The SDK's own reader of the challenge, for receivers written with it.
    const url = `${api.receiver.origin}${challenge.path}?${challenge.query}`;
    assert.equal(sdk.webhooks.extractChallengeParameter(url), challenge.query.get('challenge'));
  });

  it('are listed and found without their secret', async () => {
    const { webhookSecret: _shownOnce, ...shown } = made;
    const { data: list } = await sdk.webhooks.list();
    assert.deepEqual(list.at(-1), shown);
    assert.deepEqual((await sdk.webhooks.find({ webhookId: made.id })).data, shown);
  });

  it('are updated member by member', async () => {
    const { data } = await sdk.webhooks.update({
      webhookId: made.id,
      requestBody: { triggerTypes: [WebhookTriggers.MessageOpened], description: 'opens only' },
    });
    assert.deepEqual(data.triggerTypes, ['message.opened']);
    assert.equal(data.description, 'opens only');
    assert.equal(data.webhookUrl, made.webhookUrl);
    assert.deepEqual(data.notificationEmailAddresses, ['ops@example.com']);
    assert.equal(Reflect.has(data, 'webhookSecret'), false);
  });

  it('get another secret', async () => {
    const { data, requestId } = await sdk.webhooks.rotateSecret({ webhookId: made.id });
    const { webhookSecret: old, updatedAt: _then, ...before } = made;
    // The SDK's type has a plain webhook here; the secret is there all the same.
    const { webhookSecret, updatedAt, ...rest } = Object(data);
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.match(webhookSecret, /^whsec_[A-Za-z0-9+/]{43}=$/);
    assert.notEqual(webhookSecret, old);
    assert.ok(updatedAt >= made.updatedAt);
    assert.deepEqual(rest, before);
  });

  it('come from the addresses of the installation', async () => {
    const { data } = await sdk.webhooks.ipAddresses();
    assert.deepEqual(data, { ipAddresses: OUTGOING.addresses, updatedAt: Math.floor(OUTGOING.since.getTime() / 1000) });
  });

  it('are deleted', async () => {
    const { requestId, data } = await sdk.webhooks.destroy({ webhookId: made.id });
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.deepEqual(data, { status: 'success' });
    const { data: left } = await sdk.webhooks.list();
    assert.equal(
      left.some(({ id }) => id === made.id),
      false,
    );
  });

  it('that are unknown are told in the webhook API’s own way: 400 and 70000', async () => {
    await sdk.webhooks.destroy({ webhookId: made.id });
    const webhookId = made.id;
    const works: readonly (() => Promise<unknown>)[] = [
      () => sdk.webhooks.find({ webhookId }),
      () => sdk.webhooks.update({ webhookId, requestBody: { description: 'x' } }),
      () => sdk.webhooks.rotateSecret({ webhookId }),
      () => sdk.webhooks.destroy({ webhookId }),
      () => sdk.webhooks.find({ webhookId: 'not one/of ours' }),
    ];
    for (const work of works) {
      const { statusCode, type, message } = await sdkError(work());
      assert.deepEqual([statusCode, type, message], [400, '70000', 'destination.id.not.found : record not found']);
    }
  });
});
