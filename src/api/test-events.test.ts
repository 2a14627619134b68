import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hang, status } from '../../test/support/receiver.ts';
import { webhookApi } from '../../test/support/webhook-api.ts';
import { nylasSignature } from '../notify/sign.ts';
import { RAISED } from '../notify/triggers.ts';

test('a mock payload is the envelope of its trigger, of the asking application', async (t) => {
  const { call, ground } = await webhookApi(t);
  for (const trigger of RAISED) {
    const { status: code, data } = await call('POST', '/v3/webhooks/mock-payload', { trigger_type: trigger });
    assert.equal(code, 200, trigger);
    assert.equal(data.specversion, '1.0');
    assert.equal(data.type, trigger);
    assert.match(String(data.id), /^ntf_/);
    const told = data.data;
    assert.ok(typeof told === 'object' && told !== null && 'application_id' in told && 'object' in told);
    assert.equal(told.application_id, ground.applicationId);
    assert.equal(typeof told.object, 'object');
  }
  const { status: code, data } = await call('POST', '/v3/webhooks/mock-payload', {
    trigger_type: 'message.created.truncated',
  });
  assert.deepEqual([code, data.type], [200, 'message.created.truncated']);
});

test('a trigger that is never raised has no mock payload, and the answer names those that have', async (t) => {
  const { call } = await webhookApi(t);
  for (const trigger of ['calendar.created', 'no.such', '']) {
    const { status: code, error } = await call('POST', '/v3/webhooks/mock-payload', { trigger_type: trigger });
    assert.equal(code, 400, trigger);
    assert.match(error.message, /trigger_type.*must be one of .*message\.opened.*grant\.deleted/);
  }
  assert.equal((await call('POST', '/v3/webhooks/mock-payload', {})).status, 400);
});

test('a test event arrives once, signed with the secret everybody knows, and needs no webhook', async (t) => {
  const { call, receiver, stored } = await webhookApi(t);
  const answer = await call('POST', '/v3/webhooks/send-test-event', {
    trigger_type: 'message.link_clicked',
    webhook_url: receiver.url,
  });
  assert.deepEqual([answer.status, answer.data], [200, 'success']);
  assert.equal(receiver.received.length, 1, 'no challenge');
  const [request] = receiver.deliveries;
  assert.ok(request);
  const body = JSON.parse(request.body.toString('utf8'));
  assert.equal(body.type, 'message.link_clicked');
  assert.equal(request.headers['content-type'], 'application/json');
  assert.equal(request.headers['webhook-id'], body.id);
  assert.equal(request.headers['x-nylas-signature'], nylasSignature('mock-webhook-secret', request.body));
  assert.match(String(request.headers['webhook-timestamp']), /^\d+$/);
  assert.equal(request.headers['webhook-signature'], undefined, 'its secret is no base64');
  assert.equal(await stored(), 0);

  const plain = await call('POST', '/v3/webhooks/send-test-event', { webhook_url: receiver.url });
  assert.equal(plain.status, 200, 'as the command line of Nylas asks for it');
  assert.equal(JSON.parse(String(receiver.deliveries[1]?.body)).type, 'message.opened');
});

test('a test event that is not taken says why', async (t) => {
  const { call, receiver } = await webhookApi(t);
  const send = (url: string, trigger = 'message.opened') =>
    call('POST', '/v3/webhooks/send-test-event', { trigger_type: trigger, webhook_url: url });
  const refused = async (url: string): Promise<string> => {
    const { status: code, error } = await send(url);
    assert.deepEqual([code, error.type], [400, '70005'], url);
    return error.message;
  };
  receiver.behave(status(500, {}, 'secret inside'));
  assert.equal(await refused(receiver.url), 'unable.send.test_event : status is not ok, got 500');
  receiver.behave(status(302, { location: '/elsewhere' }));
  assert.match(await refused(receiver.url), /got 302; redirects are not followed/);
  receiver.behave(hang);
  assert.match(await refused(receiver.url), /no complete answer within 0\.3 s/);
  assert.match(await refused('https://inside.test/'), /the host leads to a private address/);
  assert.match(await refused('http://public.test/'), /must be reached by https/);
  const { status: code, error } = await send('ftp://x/');
  assert.equal(code, 400);
  assert.match(error.message, /webhook_url/);
  assert.match((await send(receiver.url, 'booking.created')).error.message, /trigger_type/);
});
