import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNTED_TO } from './counters.ts';
import { type NoticeFacts, writeNotice } from './notice-text.ts';

const FACTS: NoticeFacts = {
  status: 'failing',
  kind: 'webhook',
  id: 'wh_06f9mh2c2xw3h4k6t0s5p1v8za',
  address: 'https://receiver.test/hook?token=secret#part',
  description: 'Orders',
  application: 'shop',
  publicUrl: 'https://telltale.example.com',
  at: new Date('2026-11-22T03:15:20Z'),
  lastSuccessAt: new Date('2026-11-22T02:59:59Z'),
  last: { at: new Date('2026-11-22T03:15:00Z'), outcome: 'status', status: 503, answer: 'Down\nfor maintenance' },
  pending: 12,
  held: 0,
};

test('a failing one: what it is, since when, what it said, what waits', () => {
  assert.deepEqual(writeNotice(FACTS), {
    subject: 'Webhook is failing: Orders (shop)',
    text: `A webhook of the application shop is failing:
Orders

Address: https://receiver.test/hook
Id: wh_06f9mh2c2xw3h4k6t0s5p1v8za
Called failing: 2026-11-22 03:15 UTC
Last success: 2026-11-22 02:59 UTC
Last failure on record: 2026-11-22 03:15 UTC, status 503: Down
Notifications that wait: 12

Almost no attempt to deliver to it succeeds. Telltale goes on trying, ever
more rarely. When it answers again, it is active again by itself and what
waits is delivered. When it goes on like this for too long, it is called
failed, and nothing more is sent to it.
`,
  });
});

test('a failed one: what has to be done, by the API of its kind', () => {
  const { subject, text } = writeNotice({
    ...FACTS,
    status: 'failed',
    kind: 'pubsub',
    id: 'ch_06f9mh2c2xw3h4k6t0s5p1v8za',
    address: 'projects/shop/topics/mail',
    description: '',
    lastSuccessAt: null,
    last: null,
    pending: COUNTED_TO,
    held: 3,
  });
  assert.equal(subject, 'Pub/Sub channel has failed: projects/shop/topics/mail (shop)');
  assert.match(text, /^A Pub\/Sub channel of the application shop has failed\.\n\nAddress: projects/);
  assert.equal(text.split('projects/shop/topics/mail').length, 2, 'once');
  assert.match(text, /^Last success: never$/m);
  assert.doesNotMatch(text, /Last failure/);
  assert.match(text, /^Notifications that wait: 10000 or more$/m);
  assert.match(text, /^Notifications put aside: 3$/m);
  const api = 'https://telltale\\.example\\.com/v3/channels/pubsub/ch_06f9mh2c2xw3h4k6t0s5p1v8za';
  assert.match(text, new RegExp(`^ {3}PUT ${api}\n {3}\\{"status": "active"\\}$`, 'm'));
  assert.match(text, new RegExp(`^ {3}POST ${api}/replay$`, 'm'));
});

test('what strangers wrote stays one short line', () => {
  const { subject, text } = writeNotice({
    ...FACTS,
    description: `Orders\r\nBcc: eve@example.com\u0007`,
    last: { at: FACTS.at, outcome: 'timeout', status: null, answer: `\u001b[31m${'x'.repeat(5000)}` },
  });
  assert.equal(subject, 'Webhook is failing: Orders (shop)');
  assert.match(text, /UTC, timeout: \[31mx{196}…$/m);
  const other = writeNotice({ ...FACTS, description: 'Orders\u202Efdp.exe\u2028Bcc: eve@example.com' });
  assert.equal(other.subject, 'Webhook is failing: Orders fdp.exe (shop)');
});
