// Notifications leave the whole service for Google's own Pub/Sub emulator.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { makePubsub, type Pubsub } from '../../src/notify/destinations/pubsub.ts';
import { sampleParcel } from '../support/destination-contract.ts';
import { noPubsubEmulator, type PubsubEmulator, startPubsubEmulator } from '../support/pubsub-emulator.ts';
import type { PubsubMessage } from '../support/pubsub-wire.ts';
import { eventually, type Service, startService } from '../support/service.ts';
import { sendTracked } from '../support/tracked-message.ts';

const PROJECT = 'projects/telltale-journey';

describe('Google’s Pub/Sub emulator', { skip: noPubsubEmulator() }, () => {
  let emulator: PubsubEmulator;
  let service: Service;
  before(async () => {
    emulator = await startPubsubEmulator();
    service = await startService({ env: { PUBSUB_EMULATOR_HOST: emulator.host } });
  });
  after(async () => {
    await service?.stop();
    await emulator?.close();
  });

  const createChannel = async (topic: string, extra: object = {}): Promise<string> => {
    const made = await service.api('POST', '/v3/channels/pubsub', {
      trigger_types: ['message.opened', 'message.link_clicked'],
      topic,
      description: 'journey',
      notification_email_addresses: ['ops@example.com'],
      encryption_key: '',
      ...extra,
    });
    assert.equal(made.status, 200, made.text);
    assert.equal(made.at('data.topic'), topic);
    assert.equal(made.at('data.status'), 'active');
    return String(made.at('data.id'));
  };
  const removeChannel = async (id: string): Promise<void> => {
    const removed = await service.api('DELETE', `/v3/channels/pubsub/${id}`);
    assert.equal(removed.at('data.status'), 'success', removed.text);
  };
  const visit = async (path: string): Promise<void> => {
    await (await fetch(service.url + path, { redirect: 'manual' })).arrayBuffer();
  };

  it('takes what the destination sends, as far as it was asked to check it', async (t) => {
    const topic = `${PROJECT}/topics/con+tract~of%67the_port.v-1`;
    const pubsub: Pubsub = makePubsub({ credentialsFile: null, emulator: emulator.host });
    t.after(() => pubsub.close());
    assert.equal(await pubsub.verify(topic), 'the topic does not exist');
    const missing = await pubsub.attempt(sampleParcel(topic));
    assert.deepEqual([missing.kind, missing.status], ['status', 404]);
    assert.match(missing.answer, /Topic not found/);

    await emulator.createTopic(topic);
    assert.equal(await pubsub.verify(topic), null);
    const subscription = await emulator.subscribe(topic, 'contract');
    const sent = sampleParcel(topic);
    for (const compressed of [false, true]) {
      assert.equal((await pubsub.attempt({ ...sent, compressed })).kind, 'ok');
    }
    const [plain, packed] = await subscription.take(2);
    assert.ok(plain && packed);
    assert.ok(plain.data.equals(sent.body));
    assert.ok(gunzipSync(packed.data).equals(sent.body));
    const { content_encoding: encoding, ...attributes } = packed.attributes;
    assert.equal(encoding, 'gzip');
    assert.deepEqual(attributes, plain.attributes);
  });

  it('gets each event of a message in its order', async () => {
    const topic = `${PROJECT}/topics/ordered`;
    await emulator.createTopic(topic);
    const subscription = await emulator.subscribe(topic, 'ordered');
    const channel = await createChannel(topic);
    const message = await sendTracked(service, ['https://example.com/demo']);
    for (let click = 0; click < 6; click++) await visit(message.link);
    const taken = await subscription.take(6);
    const payloads = taken.map(payloadOf);
    assert.deepEqual(
      payloads.map(({ data }) => data.object.link_data[0]?.count),
      [1, 2, 3, 4, 5, 6],
    );
    for (const [index, { attributes, orderingKey }] of taken.entries()) {
      const payload = payloads[index];
      assert.ok(payload);
      assert.equal(payload.specversion, '1.0');
      assert.equal(payload.data.object.label, 'journey');
      assert.equal(payload.data.object.message_id, message.id);
      assert.equal(orderingKey, message.id);
      assert.deepEqual(attributes, {
        id: payload.id,
        type: 'message.link_clicked',
        application_id: payload.data.application_id,
        grant_id: service.grantId(),
      });
    }
    assert.equal(new Set(payloads.map(({ id }) => id)).size, 6);
    await removeChannel(channel);
  });

  it('gets them compressed where the channel wants that', async () => {
    const topic = `${PROJECT}/topics/compressed`;
    await emulator.createTopic(topic);
    const subscription = await emulator.subscribe(topic, 'compressed');
    const channel = await createChannel(topic, { compressed_delivery: true });
    const message = await sendTracked(service);
    await visit(message.pixel);
    const [opened] = await subscription.take(1);
    assert.equal(opened?.attributes.content_encoding, 'gzip');
    const payload = JSON.parse(gunzipSync(opened.data).toString());
    assert.equal(payload.type, 'message.opened');
    assert.equal(payload.data.object.message_data.count, 1);
    await removeChannel(channel);
  });

  it('gets under the same id what it could not take at first', async () => {
    const topic = `${PROJECT}/topics/comes-and-goes`;
    await emulator.createTopic(topic);
    const channel = await createChannel(topic);
    const message = await sendTracked(service);
    await emulator.deleteTopic(topic);
    await visit(message.pixel);
    const failed = await eventually('an attempt that fails', () =>
      service.log().find(({ event, status }) => event === 'delivery.attempted' && status === 404),
    );
    await emulator.createTopic(topic);
    const subscription = await emulator.subscribe(topic, 'comes-and-goes'); // the second attempt is due after 4 to 6 s
    const [late] = await subscription.take(1);
    assert.ok(late);
    const payload = payloadOf(late);
    assert.equal(payload.webhook_delivery_attempt, 2);
    assert.equal(late.attributes.id, payload.id);
    assert.ok(JSON.stringify(failed.delivery).includes(payload.id));
    await removeChannel(channel);
  });

  it('refuses a channel for a topic that is not there', async () => {
    const topic = `${PROJECT}/topics/never-made`;
    const made = await service.api('POST', '/v3/channels/pubsub', { trigger_types: ['message.opened'], topic });
    assert.equal(made.status, 400, made.text);
    assert.match(String(made.at('error.message')), /the topic does not exist/);
  });
});

interface Payload {
  readonly specversion: string;
  readonly id: string;
  readonly webhook_delivery_attempt: number;
  readonly data: {
    readonly application_id: string;
    readonly object: {
      readonly message_id: string;
      readonly label: string;
      readonly link_data: readonly { readonly count: number }[];
    };
  };
}

function payloadOf({ data }: PubsubMessage): Payload {
  return JSON.parse(data.toString('utf8'));
}
