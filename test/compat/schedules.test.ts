// Nylas's own Node SDK, unmodified, schedules mail; Python, Ruby and Java ask for the same in their own bytes.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { bytesOfAttachment, type CompatGround, type Sdk, startCompatGround } from '../support/compat-ground.ts';
import { WIRE_SDKS, type WireAnswer } from '../support/sdk-bytes.ts';
import { sdkError } from '../support/sdk-error.ts';
import { eventually } from '../support/service.ts';
import { breaches } from './breaches.ts';
import { type Members, REFUSAL } from './members.ts';
import { ONE_SCHEDULE, SCHEDULE_LIST, SCHEDULE_STOPPED, SCHEDULED_SEND } from './outgoing-members.ts';

let ground: CompatGround;
let sdk: Sdk;
before(async () => {
  ground = await startCompatGround();
  ({ sdk } = ground);
});
after(async () => {
  await ground.close();
});

const MAIL = {
  to: [{ name: 'Kim', email: 'kim@example.com' }],
  subject: 'Later',
  body: '<p>Hello <a href="https://example.com/a">a</a></p>',
};
const PENDING = { code: 'pending', description: 'schedule send awaiting send at time' };
const STOPPED = 'requested cancelation for workflow';

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

async function send(changes: object = {}) {
  const requestBody = { ...MAIL, sendAt: inSeconds(3600), ...changes };
  return (await sdk.messages.send({ identifier: ground.grant, requestBody })).data;
}

/** The SDK's type says otherwise; at run time it hands on what was answered. */
async function find(scheduleId: string): Promise<Schedule> {
  return scheduleOf((await sdk.messages.findScheduledMessage({ identifier: ground.grant, scheduleId })).data);
}

async function list(identifier = ground.grant): Promise<readonly Schedule[]> {
  const data: unknown = (await sdk.messages.listScheduledMessages({ identifier })).data;
  assert.ok(Array.isArray(data), 'not a plain list');
  return data.map(scheduleOf);
}

interface Schedule {
  readonly scheduleId: unknown;
  readonly status: unknown;
  readonly closeTime: unknown;
}

function scheduleOf(value: unknown): Schedule {
  const { scheduleId, status, closeTime } = Object(value);
  return { scheduleId, status, closeTime };
}

/** Its time has come. */
async function make(scheduleId: string, due = new Date()): Promise<void> {
  await ground.sql`update schedules set send_at = ${due}, next_try_at = ${due} where id = ${scheduleId}`;
}

async function closed(scheduleId: string): Promise<Schedule> {
  return await eventually(
    'the schedule comes to rest',
    async () => {
      const schedule = await find(scheduleId);
      return schedule.closeTime === undefined ? undefined : schedule;
    },
    45_000,
  );
}

describe('a scheduled message', () => {
  it('is told with its schedule, and waits', async () => {
    const sendAt = inSeconds(90);
    const data = await send({ sendAt, subject: 'Waits' });
    assert.match(data.scheduleId ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(data.sendAt, sendAt);
    assert.equal(data.grantId, ground.grant);
    assert.deepEqual([data.object, data.subject, data.body], ['message', 'Waits', MAIL.body]);
    assert.deepEqual(await find(data.scheduleId ?? ''), {
      scheduleId: data.scheduleId,
      status: PENDING,
      closeTime: undefined,
    });
    assert.ok((await list()).some(({ scheduleId }) => scheduleId === data.scheduleId));
    assert.deepEqual(await ground.sentWith('Waits'), []);
  });

  it('leaves at its time, tracked, with its files', async () => {
    const file = Buffer.from('of the file');
    const large = Buffer.alloc(3 * 1024 * 1024, 'large ');
    const trackingOptions = { opens: true, links: true, threadReplies: true, label: 'later' };
    const attachments = [{ filename: 'a.txt', contentType: 'text/plain', content: file, size: file.length }];
    const asForm = [{ filename: 'b.bin', contentType: 'application/zip', content: large, size: large.length }];
    const small = await send({ subject: 'Small', trackingOptions, attachments });
    const form = await send({ subject: 'Form', trackingOptions, attachments: asForm });
    for (const { scheduleId = '', trackingOptions: answered } of [small, form]) {
      assert.deepEqual(answered, trackingOptions);
      await make(scheduleId);
    }
    for (const { scheduleId = '', subject = '' } of [small, form]) {
      const { status, closeTime } = await closed(scheduleId);
      assert.deepEqual(status, { code: 'success', description: 'schedule send succeeded' });
      assert.ok(Number.isInteger(closeTime) && Math.abs(Number(closeTime) - Date.now() / 1000) < 120);
      const sent = await ground.sentWith(subject);
      assert.equal(sent.length, 1);
      const { mail } = await ground.left(sent[0] ?? '');
      assert.match(mail.html ?? '', /href="[^"]+\/c\/[^"]+"/);
      const wanted = subject === 'Small' ? file : large;
      assert.ok(bytesOfAttachment(mail, subject === 'Small' ? 'a.txt' : 'b.bin').equals(wanted));
      const { data } = await sdk.messages.find({ identifier: ground.grant, messageId: sent[0] ?? '' });
      assert.equal(data.subject, subject);
    }
    const late = await sdkError(
      sdk.messages.stopScheduledMessage({ identifier: ground.grant, scheduleId: small.scheduleId ?? '' }),
    );
    assert.equal(late.statusCode, 400);
    assert.match(late.message, /schedule send succeeded/);
  });

  it('that is stopped never leaves', async () => {
    const { scheduleId = '' } = await send({ subject: 'Stopped' });
    const stopped = await sdk.messages.stopScheduledMessage({ identifier: ground.email, scheduleId });
    assert.match(stopped.requestId, /^[0-9a-f-]{36}$/);
    assert.equal(Reflect.get(Object(Reflect.get(stopped, 'data')), 'message'), STOPPED);
    await make(scheduleId);
    const other = await send({ subject: 'Behind it' });
    await make(other.scheduleId ?? '');
    await closed(other.scheduleId ?? '');
    assert.deepEqual(await ground.sentWith('Stopped'), []);
    assert.notDeepEqual((await find(scheduleId)).status, PENDING);
  });

  it('belongs to its grant', async () => {
    const identifier = await ground.practice('second@practice.test');
    const { scheduleId = '' } = await send();
    assert.deepEqual(await list(identifier), []);
    const works = [
      sdk.messages.findScheduledMessage({ identifier, scheduleId }),
      sdk.messages.stopScheduledMessage({ identifier, scheduleId }),
    ];
    for (const error of await Promise.all(works.map((work) => sdkError(work)))) {
      assert.deepEqual([error.statusCode, error.type], [404, 'api.not_found_error']);
    }
    assert.deepEqual((await find(scheduleId)).status, PENDING);
  });

  it('that is unknown is a 404 that names it', async () => {
    for (const scheduleId of ['11111111-2222-4333-8444-555555555555', 'not one of ours', 'msg_x']) {
      const works = [
        sdk.messages.findScheduledMessage({ identifier: ground.grant, scheduleId }),
        sdk.messages.stopScheduledMessage({ identifier: ground.grant, scheduleId }),
      ];
      for (const error of await Promise.all(works.map((work) => sdkError(work)))) {
        assert.deepEqual([error.statusCode, error.type], [404, 'api.not_found_error']);
        assert.ok(error.message.includes(scheduleId), error.message);
      }
    }
  });

  const refused: readonly (readonly [name: string, changes: () => object, message: RegExp])[] = [
    ['less than a minute ahead', () => ({ sendAt: inSeconds(50) }), /^send_at /],
    ['in the past', () => ({ sendAt: inSeconds(-3600) }), /^send_at /],
    ['in milliseconds', () => ({ sendAt: Date.now() + 3_600_000 }), /^send_at /],
    ['with a fraction', () => ({ sendAt: inSeconds(3600) + 0.5 }), /^send_at /],
    ['in words', () => ({ sendAt: 'tomorrow' }), /^send_at /],
    ['with use_draft', () => ({ useDraft: true }), /^use_draft /],
    ['to nobody', () => ({ to: [] }), /^to /],
    [
      'with 101 links',
      () => ({ body: '<a href="https://a.example/">x</a>'.repeat(101), trackingOptions: { links: true } }),
      /^Too many tracking links: 101 /,
    ],
  ];
  for (const [name, changes, message] of refused) {
    it(`${name} is refused`, async () => {
      const before = (await list()).length;
      const error = await sdkError(send(changes()));
      assert.equal(error.statusCode, 400, error.message);
      assert.match(error.message, message);
      assert.equal((await list()).length, before);
    });
  }

  it('may be an hour or four weeks ahead, and 0 or nothing is now', async () => {
    for (const sendAt of [inSeconds(61), inSeconds(28 * 86_400)]) assert.equal((await send({ sendAt })).sendAt, sendAt);
    const now = await send({ sendAt: undefined, subject: 'Now' });
    assert.equal((await ground.sentWith('Now'))[0], now.id);
  });

  it('is refused to a trial that tracks (D5)', async () => {
    const trial = await ground.application('sandbox');
    const requestBody = { ...MAIL, sendAt: inSeconds(3600), trackingOptions: { opens: true } };
    const error = await sdkError(trial.sdk.messages.send({ identifier: trial.grant, requestBody }));
    assert.deepEqual([error.statusCode, error.type], [403, 'api.tracking_error']);
  });
});

/** What the SDK's deserialiser stumbles over fails the test. */
function readable(answer: WireAnswer, members: Members, status = 200): WireAnswer {
  assert.equal(answer.status, status, answer.text);
  assert.deepEqual(breaches(answer, members), [], answer.text);
  return answer;
}

for (const caller of WIRE_SDKS) {
  it(`schedules as ${caller.name} asks for them`, async () => {
    const messages = `/v3/grants/${caller.segment(ground.email)}/messages`;
    const body = { ...MAIL, send_at: inSeconds(3600), tracking_options: { opens: true } };
    const sent = readable(
      await ground.wire(caller, { method: 'POST', path: `${messages}/send`, body }),
      SCHEDULED_SEND,
    );
    assert.equal(sent.at('data.send_at'), body.send_at);
    const id = String(sent.at('data.schedule_id'));
    const path = `${messages}/schedules/${caller.segment(id)}`;
    const all = readable(await ground.wire(caller, { method: 'GET', path: `${messages}/schedules` }), SCHEDULE_LIST);
    assert.ok([all.at('data')].flat().some((one) => Reflect.get(Object(one), 'schedule_id') === id));
    const one = readable(await ground.wire(caller, { method: 'GET', path }), ONE_SCHEDULE);
    assert.deepEqual(one.at('data.status'), PENDING);
    const stopped = readable(await ground.wire(caller, { method: 'DELETE', path }), SCHEDULE_STOPPED, 202);
    assert.equal(stopped.at('data.message'), STOPPED);
    readable(await ground.wire(caller, { method: 'GET', path }), ONE_SCHEDULE);
    readable(await ground.wire(caller, { method: 'DELETE', path: `${messages}/schedules/x` }), REFUSAL, 404);
  });

  it(`an empty list of schedules as ${caller.name} reads it`, async () => {
    const email = `none-${caller.name.toLowerCase()}@practice.test`;
    await ground.practice(email);
    const path = `/v3/grants/${caller.segment(email)}/messages/schedules`;
    assert.deepEqual(readable(await ground.wire(caller, { method: 'GET', path }), SCHEDULE_LIST).at('data'), []);
  });
}
