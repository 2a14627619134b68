// Nylas's own Node SDK, unmodified, sends under an Idempotency-Key, as `overrides.headers` lets it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type BareMail, startBareMail } from '../support/bare-mail.ts';
import { type CompatGround, type Sdk, startCompatGround } from '../support/compat-ground.ts';
import { WIRE_SDKS } from '../support/sdk-bytes.ts';
import { sdkError } from '../support/sdk-error.ts';
import { eventually } from '../support/service.ts';
import { breaches } from './breaches.ts';
import { REFUSAL, SENT_MESSAGE } from './members.ts';

type Answer = Awaited<ReturnType<Sdk['messages']['send']>>;

let ground: CompatGround;
let sdk: Sdk;
let count = 0;
before(async () => {
  ground = await startCompatGround();
  ({ sdk } = ground);
});
after(async () => {
  await ground.close();
});

const MAIL = {
  to: [{ email: 'kim@example.com' }],
  subject: 'Hello',
  body: '<p>Hello <a href="https://a.example/">a</a></p>',
};
const TRACKED = { opens: true, links: true, threadReplies: true, label: 'once' };

function newKey(): string {
  count += 1;
  return `order-${count}`;
}

async function send(key: string, changes: object = {}, identifier = ground.grant): Promise<Answer> {
  const requestBody = { ...MAIL, ...changes };
  return await sdk.messages.send({ identifier, requestBody, overrides: { headers: { 'Idempotency-Key': key } } });
}

const replayed = (answer: { readonly rawHeaders?: Record<string, string> }): string | undefined =>
  answer.rawHeaders?.['idempotent-response'];

describe('a send under an Idempotency-Key', () => {
  it('is answered as before when it is repeated, and leaves once', async () => {
    const key = newKey();
    const mail = { subject: 'Once', trackingOptions: TRACKED, ...{ metadata: { key1: 'a' } } };
    const first = await send(key, mail);
    assert.equal(replayed(first), undefined);
    for (const identifier of [ground.grant, ground.email]) {
      const again = await send(key, mail, identifier);
      assert.deepEqual(again.data, first.data);
      assert.equal(replayed(again), 'true');
      assert.notEqual(again.requestId, first.requestId);
      assert.equal(again.rawHeaders?.['x-request-id'], again.requestId);
    }
    assert.deepEqual(await ground.sentWith('Once'), [first.data.id]);
  });

  it('goes by its key, grant and application', async () => {
    const key = newKey();
    const first = await send(key);
    const other = await send(newKey());
    const grant = await send(key, {}, await ground.practice('second@practice.test'));
    const theirs = await ground.application('production');
    const application = await theirs.sdk.messages.send({
      identifier: theirs.grant,
      requestBody: MAIL,
      overrides: { headers: { 'Idempotency-Key': key } },
    });
    const plain = await sdk.messages.send({ identifier: ground.grant, requestBody: MAIL });
    const ids = [first, other, grant, application, plain].map(({ data }) => data.id);
    assert.equal(new Set(ids).size, ids.length);
  });

  it('with another content is refused, and the first answer stays', async () => {
    const key = newKey();
    const first = await send(key, { subject: 'Kept' });
    for (const changes of [{ subject: 'Other' }, { subject: 'Kept', trackingOptions: TRACKED }]) {
      const error = await sdkError(send(key, changes));
      assert.deepEqual([error.statusCode, error.type], [409, 'api.invalid_idempotent_request']);
      assert.match(error.message, /Idempotency-Key/);
    }
    assert.equal((await send(key, { subject: 'Kept' })).data.id, first.data.id);
  });

  it('whose key is too long, empty or not ASCII is refused', async () => {
    assert.ok((await send('k'.repeat(256))).data.id);
    for (const key of ['k'.repeat(257), '', ' ', 'é']) {
      const error = await sdkError(send(key));
      assert.deepEqual([error.statusCode, error.type], [400, 'api.invalid_idempotency_key'], JSON.stringify(key));
      assert.match(
        error.message,
        key.length > 256 ? /^Idempotency-Key must be 256 characters or fewer\.$/ : /^Idempotency-Key /,
      );
    }
  });

  it('that was refused is refused again in the same words', async () => {
    const key = newKey();
    const changes = { replyToMessageId: '18ac281f237c934b' };
    const first = await sdkError(send(key, changes));
    const again = await sdkError(send(key, changes));
    assert.deepEqual([again.statusCode, again.type, again.message], [404, first.type, first.message]);
    assert.notEqual(again.requestId, first.requestId);
    assert.equal(Reflect.get(Object(first.headers), 'idempotent-response'), undefined);
    assert.equal(Reflect.get(Object(again.headers), 'idempotent-response'), 'true');
  });

  it('at once with itself leaves once', async () => {
    const key = newKey();
    const calls = Array.from({ length: 5 }, () => send(key, { subject: 'At once' }));
    const settled = await Promise.allSettled(calls);
    const ids = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.data.id] : []));
    assert.equal(new Set(ids).size, 1);
    for (const call of calls.filter((_, index) => settled[index]?.status === 'rejected')) {
      const error = await sdkError(call);
      assert.deepEqual([error.statusCode, error.type], [409, 'api.concurrent_idempotent_request']);
    }
    assert.deepEqual(await ground.sentWith('At once'), [ids[0]]);
    assert.equal((await send(key, { subject: 'At once' })).data.id, ids[0]);
  });

  it('as a form is the same while its files are', async () => {
    const key = newKey();
    const attachment = (letter: string) => {
      const content = Buffer.alloc(3 * 1024 * 1024, letter);
      return [{ filename: 'a.bin', contentType: 'application/zip', content, size: content.length }];
    };
    const first = await send(key, { subject: 'Form', attachments: attachment('a') });
    const again = await send(key, { subject: 'Form', attachments: attachment('a') });
    assert.deepEqual(again.data, first.data);
    assert.equal(replayed(again), 'true');
    const error = await sdkError(send(key, { subject: 'Form', attachments: attachment('b') }));
    assert.equal(error.type, 'api.invalid_idempotent_request');
    assert.equal((await ground.sentWith('Form')).length, 1);
  });

  it('that is scheduled is scheduled once', async () => {
    const key = newKey();
    const identifier = await ground.practice('scheduling@practice.test');
    const sendAt = Math.floor(Date.now() / 1000) + 3600;
    const first = await send(key, { sendAt }, identifier);
    const again = await send(key, { sendAt }, identifier);
    assert.ok(first.data.scheduleId);
    assert.equal(again.data.scheduleId, first.data.scheduleId);
    const data: unknown = (await sdk.messages.listScheduledMessages({ identifier })).data;
    assert.equal([data].flat().length, 1);
  });
});

describe('a draft sent under an Idempotency-Key', () => {
  it('is answered as before though it is gone', async () => {
    const identifier = ground.grant;
    const { data: draft } = await sdk.drafts.create({ identifier, requestBody: { ...MAIL, subject: 'Draft once' } });
    const overrides = { headers: { 'Idempotency-Key': newKey() } };
    const first = await sdk.drafts.send({ identifier, draftId: draft.id, overrides });
    const again = await sdk.drafts.send({ identifier, draftId: draft.id, overrides });
    assert.deepEqual(again.data, first.data);
    assert.equal(replayed(again), 'true');
    assert.equal((await ground.sentWith('Draft once')).length, 1);
    const other = await sdk.drafts.create({ identifier, requestBody: MAIL });
    const error = await sdkError(sdk.drafts.send({ identifier, draftId: other.data.id, overrides }));
    assert.equal(error.type, 'api.invalid_idempotent_request');
  });
});

describe('through a mailbox of its own', () => {
  let mail: BareMail;
  let grant: string;
  before(async () => {
    mail = await startBareMail();
    grant = (await ground.connect(mail)).id;
  });
  after(async () => {
    await mail.close();
  });

  it('a send that runs still is told as such, with a time to come back', async () => {
    const key = newKey();
    mail.faults.data = 'hang';
    const first = send(key, {}, grant).catch(() => undefined);
    const logins = mail.logins.smtp;
    await eventually('the first has begun', () => (mail.logins.smtp > logins ? true : undefined));
    const error = await sdkError(send(key, {}, grant));
    assert.deepEqual([error.statusCode, error.type], [409, 'api.concurrent_idempotent_request']);
    assert.match(String(Reflect.get(Object(error.headers), 'retry-after')), /^[1-9]\d*$/);
    mail.faults.data = null;
    mail.cut();
    await first;
  });

  it('a send of which nobody knows whether it left is answered so again, and not sent again', async () => {
    const key = newKey();
    const before = mail.delivered().length;
    mail.faults.data = 'cut-after';
    const first = await sdkError(send(key, {}, grant));
    mail.faults.data = null;
    assert.deepEqual([first.statusCode, first.type], [504, 'api.provider_error']);
    const again = await sdkError(send(key, {}, grant));
    assert.deepEqual([again.statusCode, again.type, again.message], [504, first.type, first.message]);
    assert.deepEqual(again.providerError, first.providerError);
    assert.equal(Reflect.get(Object(again.headers), 'idempotent-response'), 'true');
    assert.equal(mail.delivered().length, before + 1);
  });

  it('a send that may be tried again later is tried again', async () => {
    const key = newKey();
    const before = mail.delivered().length;
    mail.faults.data = { code: 451, text: '4.7.1 Greylisted' };
    const first = await sdkError(send(key, {}, grant));
    mail.faults.data = null;
    assert.ok([429, 503].includes(first.statusCode ?? 0), String(first.statusCode));
    const { data, rawHeaders } = await send(key, {}, grant);
    assert.equal(rawHeaders?.['idempotent-response'], undefined);
    assert.equal((await send(key, {}, grant)).data.id, data.id);
    assert.equal(mail.delivered().length, before + 1);
  });
});

for (const caller of WIRE_SDKS) {
  it(`keys as ${caller.name} sends them`, async () => {
    const path = `/v3/grants/${caller.segment(ground.email)}/messages/send`;
    const call = (key: string, subject: string) =>
      ground.wire(caller, { method: 'POST', path, headers: { 'Idempotency-Key': key }, body: { ...MAIL, subject } });
    const key = newKey();
    const first = await call(key, 'Hello');
    const again = await call(key, 'Hello');
    assert.deepEqual(breaches(first, SENT_MESSAGE), [], first.text);
    assert.deepEqual(breaches(again, SENT_MESSAGE), [], again.text);
    assert.deepEqual(again.at('data'), first.at('data'));
    assert.deepEqual(
      [first.headers.get('idempotent-response'), again.headers.get('idempotent-response')],
      [null, 'true'],
    );
    const other = await call(key, 'Other');
    assert.equal(other.status, 409);
    assert.deepEqual(breaches(other, REFUSAL), [], other.text);
    const long = await call('k'.repeat(257), 'Hello');
    assert.equal(long.at('error.type'), 'api.invalid_idempotency_key');
    assert.deepEqual(breaches(long, REFUSAL), [], long.text);
  });
}
