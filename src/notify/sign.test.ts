import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { makeSecret, nylasSignature, signatureHeaders } from './sign.ts';

test('the Nylas signature is the documented one', () => {
  assert.equal(
    nylasSignature('test-secret-01', '{"specversion":"1.0","type":"message.opened"}'),
    'b057977546e32d802b198b88e8ba6f76cbde7e5c3d552b3393585cb18690f31a',
  );
});

test('the Standard Webhooks signature is the one of the specification’s own example', () => {
  const headers = signatureHeaders(['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'], {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    body: Buffer.from('{"test": 2432232314}'),
    timestamp: 1614265330,
  });
  assert.equal(headers['webhook-signature'], 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  assert.equal(headers['webhook-id'], 'msg_p5jXN8AQM9LWM0D4loKWxJek');
  assert.equal(headers['webhook-timestamp'], '1614265330');
});

test('a secret is whsec_ and 32 random bytes, and its text is the Nylas key', () => {
  const secret = makeSecret();
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  assert.notEqual(secret, makeSecret());
  const body = Buffer.from('{"é":1}');
  const headers = signatureHeaders([secret], { id: 'ntf_1', body, timestamp: 1 });
  assert.equal(headers['X-Nylas-Signature'], createHmac('sha256', secret).update(body).digest('hex'));
});

test('with two secrets the Standard Webhooks header has a signature of each, the Nylas header that of the newest', () => {
  const [fresh, old] = [makeSecret(), makeSecret()];
  const signed = { id: 'ntf_1', body: Buffer.from('{}'), timestamp: 1 };
  const alone = (secret: string) => signatureHeaders([secret], signed);
  const both = signatureHeaders([fresh, old], signed);
  assert.equal(both['X-Nylas-Signature'], alone(fresh)['X-Nylas-Signature']);
  assert.equal(both['webhook-signature'], `${alone(fresh)['webhook-signature']} ${alone(old)['webhook-signature']}`);
});

test('a secret that is not of the form of Standard Webhooks makes no signature of theirs', () => {
  const signed = { id: 'ntf_1', body: Buffer.from('{}'), timestamp: 1 };
  assert.deepEqual(signatureHeaders(['mock-webhook-secret'], signed), {
    'X-Nylas-Signature': nylasSignature('mock-webhook-secret', '{}'),
    'webhook-id': 'ntf_1',
    'webhook-timestamp': '1',
  });
});
