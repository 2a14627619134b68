// From a fact to the payload, through the database.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { emit, type Fact } from '../db/outbox.ts';
import { transaction } from '../db/transaction.ts';
import { deleteGrant } from '../grants/grants.ts';
import { uuidv7, wireId } from '../ids.ts';
import { makeLog } from '../log.ts';
import { bounceFact, type ToldBounce } from '../tracking/bounce-facts.ts';
import { record } from '../tracking/events.ts';
import { mailFact, type ToldMail } from '../tracking/mail-facts.ts';
import { type ReplyDetail, replyDetail } from '../tracking/reply-facts.ts';
import { telling } from '../tracking/send-facts.ts';
import { type Prepared, prepare, readState } from './contents.ts';
import { fanOut } from './fanout.ts';
import { type NotificationState, renderPayload } from './payloads.ts';
import { TOLD } from './triggers.ts';

const LEGACY = ['message.opened.legacy', 'message.link_clicked.legacy', 'thread.replied.legacy'];
const NOW = Math.floor(Date.now() / 1000) * 1000;

test('a fact is told once under each of its names, to those that subscribe to that name', async (t) => {
  const { ground, tell, told } = await setting(t);
  const { id: plain } = await ground.destination('https://plain.test', { triggers: ['message.opened'] });
  const { id: legacy } = await ground.destination('https://legacy.test', { triggers: LEGACY });
  const both = await ground.destination('https://both.test', { triggers: ['message.link_clicked', ...LEGACY] });
  const message = await ground.message(['https://a.test', 'tel:1'], 'spring');
  await ground.happen(message, { at: NOW }, { at: NOW + 5_000 }, { link: 1, at: NOW + 6_000 });
  assert.deepEqual(await tell(), { facts: 3, notifications: 6, coalesced: 0 });
  const payloads = await told();
  const seen = payloads.map(({ destination, payload }) => [destination, payload.type]);
  assert.deepEqual(seen, [
    [plain, 'message.opened'],
    [legacy, 'message.opened.legacy'],
    [both.id, 'message.opened.legacy'],
    [plain, 'message.opened'],
    [legacy, 'message.opened.legacy'],
    [both.id, 'message.opened.legacy'],
    [both.id, 'message.link_clicked'],
    [legacy, 'message.link_clicked.legacy'],
    [both.id, 'message.link_clicked.legacy'],
  ]);
  assert.equal(new Set(payloads.map(({ payload }) => payload.id)).size, 6);
  assert.equal((await ground.sql`select from notifications`).length, 6);

  // D10: the newest event's second, and in the old shape the first one's.
  const second = payloads[3]?.payload.data;
  assert.equal(second.object.timestamp, NOW / 1000 + 5);
  const old = payloads[4]?.payload.data.object.deltas[0];
  assert.equal(old.date, NOW / 1000 + 5);
  assert.equal(old.object_data.metadata.timestamp, NOW / 1000);
  assert.equal(old.object_data.metadata.count, 2);
  assert.deepEqual(
    old.object_data.metadata.recents.map((event: { id: unknown }) => event.id),
    [0, 1],
  );
  const click = payloads[8]?.payload.data.object.deltas[0].object_data.metadata;
  assert.deepEqual(click.link_data, [
    { count: 0, url: 'https://a.test' },
    { count: 1, url: 'tel:1' },
  ]);
  assert.deepEqual([click.recents[0].link_index, click.payload, click.timestamp], [1, 'spring', NOW / 1000 + 6]);
});

test('nobody else costs a notification', async (t) => {
  const { ground, tell } = await setting(t);
  await ground.destination('https://plain.test', { triggers: ['message.opened', 'event.created'] });
  await ground.happen(await ground.message(['https://a.test']), {}, { link: 0 });
  assert.deepEqual(await tell(), { facts: 2, notifications: 1, coalesced: 0 });
  await ground.sql`update destinations set triggers = ${['message.link_clicked.legacy']}`;
  await ground.happen(await ground.message(['https://a.test']), {}, { link: 0 });
  assert.deepEqual(await tell(), { facts: 2, notifications: 1, coalesced: 0 });
  const rows = await ground.sql`select trigger from notifications order by id`;
  assert.deepEqual(
    rows.map((row) => row.trigger),
    ['message.opened', 'message.link_clicked.legacy'],
  );
});

test('above the guard each name coalesces by itself, and only events are counted for it', async (t) => {
  const { ground, tell, told } = await setting(t);
  await ground.setting('max_notifications_per_minute', 5);
  await ground.destination('https://plain.test', { triggers: ['message.opened'] });
  await ground.destination('https://legacy.test', { triggers: LEGACY });
  const message = await ground.message();
  await ground.happen(message, ...Array.from({ length: 20 }, () => ({ at: NOW })));
  assert.deepEqual(await tell(), { facts: 20, notifications: 12, coalesced: 15 });
  await ground.happen(message, ...Array.from({ length: 20 }, () => ({ at: NOW + 1_000 })));
  assert.deepEqual(await tell(), { facts: 20, notifications: 0, coalesced: 20 });
  const rows = await ground.sql`select trigger from coalescing_notifications order by trigger`;
  assert.deepEqual(
    rows.map((row) => row.trigger),
    ['message.opened', 'message.opened.legacy'],
  );
  const counts = (await told()).map(({ payload: { data, type } }) =>
    type === 'message.opened' ? data.object.message_data.count : data.object.deltas[0].object_data.metadata.count,
  );
  assert.deepEqual(counts, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 40, 40]);
});

test('replies above the guard coalesce into the newest reply', async (t) => {
  const { ground, tell, told, reply, recordReply } = await setting(t);
  await ground.setting('max_notifications_per_minute', 1);
  await ground.destination('https://both.test', { triggers: ['thread.replied', 'thread.replied.legacy'] });
  const root = await ground.message([], 'spring');
  for (let sequence = 0; sequence < 4; sequence++) {
    await recordReply(reply(root, { sequence, messageId: `msg_reply${sequence}` }));
    await tell();
  }
  const objects = (await told()).map(({ payload }) => payload.data.object);
  assert.deepEqual(
    objects.map((object) => object.message_id ?? object.deltas[0].object_data.metadata.message_id),
    ['msg_reply0', 'msg_reply0', 'msg_reply3', 'msg_reply3'],
  );
  assert.equal(objects[2].reply_data.count, 4);
});

test('a reply is told with the message it answers', async (t) => {
  const { ground, tell, told, reply } = await setting(t);
  await ground.destination('https://both.test', { triggers: ['thread.replied', 'thread.replied.legacy'] });
  const root = await ground.message([], 'spring');
  await emit(ground.sql, [replyFact(reply(root, { sequence: 6, replyToMessageId: null, fromSelf: true }))]);
  await tell();
  const [plain, legacy] = (await told()).map(({ payload }) => payload.data);
  assert.deepEqual(plain, {
    application_id: ground.applicationId,
    grant_id: ground.grantId,
    object: {
      object: 'thread',
      grant_id: ground.grantId,
      message_id: 'msg_reply',
      root_message_id: wireId('msg', root),
      label: 'spring',
      reply_data: { count: 7 },
      sender_app_id: ground.applicationId,
      thread_id: 'thr_1',
      timestamp: NOW / 1000,
      from_self: true,
      auto_reply: false,
    },
  });
  assert.deepEqual(legacy.object.deltas[0].object_data.metadata, {
    from_self: true,
    message_id: 'msg_reply',
    payload: 'spring',
    thread_id: 'thr_1',
    timestamp: NOW / 1000,
  });
});

test('a bounce is told with the message that came back', async (t) => {
  const { ground, tell, told } = await setting(t);
  await ground.destination('https://b.test', { triggers: ['message.bounce_detected'] });
  const message = await ground.message();
  await emit(ground.sql, [bounceFact({ ...BOUNCE, app: ground.app, messageId: message })]);
  await tell();
  const [{ payload } = { payload: null }] = await told();
  assert.equal(payload.source, '/imap/emails/realtime');
  assert.equal(payload.data.grant_id, ground.grantId);
  assert.deepEqual(payload.data.object, {
    bounce_reason: 'mailbox does not exist',
    bounce_date: 'Thu, 01 Jan 2026 20:41:40 +0000',
    bounced_addresses: 'kim@client.test',
    type: 'mailbox_unavailable',
    code: '550',
    grant_id: ground.grantId,
    message_id: wireId('msg', message),
    origin: {
      to: ['kim@client.test'],
      from: 'nyla@shop.test',
      cc: [],
      bcc: [],
      subject: 'Renewal',
      mime_id: 'abc123@shop.test',
      id: wireId('msg', message),
      original_send_at: 'Thu, 01 Jan 2026 20:40:00 +0000',
    },
  });
});

test('a send is told with what it was, and with what was wrong beside it', async (t) => {
  const { ground, tell, told } = await setting(t);
  await ground.destination('https://s.test', { triggers: ['message.send_success', 'message.send_failed'] });
  const message = await ground.message();
  const kim = { name: 'Kim', email: 'kim@client.test' };
  const lists = { from: [{ name: '', email: 'nyla@shop.test' }], to: [kim], cc: [], bcc: [], replyTo: [] };
  const mail = {
    ...lists,
    subject: 'Renewal',
    snippet: 'Hello',
    scheduleId: 'sch_1',
    sendAt: 1_767_300_000,
    useDraft: false,
  };
  const error = { type: 'api.provider_error', message: '550 denied', statusCode: 550, providerError: { code: '550' } };
  const about = { app: ground.app, messageId: message, sequence: null, linkCounts: null, happenedAt: new Date(NOW) };
  const sent = telling(true, mail, null);
  const failed = telling(true, { ...mail, scheduleId: null, sendAt: null }, { reason: 'refused', error });
  await emit(ground.sql, [
    { ...about, trigger: 'message.send_success', detail: JSON.parse(sent.detail) },
    { ...about, trigger: 'message.send_failed', detail: JSON.parse(failed.detail) },
  ]);
  await tell();
  const object = {
    object: 'message',
    grant_id: ground.grantId,
    id: wireId('msg', message),
    subject: 'Renewal',
    snippet: 'Hello',
    from: [{ name: '', email: 'nyla@shop.test' }],
    to: [kim],
    cc: [],
    bcc: [],
    reply_to: [],
  };
  const whose = { application_id: ground.applicationId, grant_id: ground.grantId };
  assert.deepEqual(
    (await told()).map(({ payload }) => [payload.type, payload.source, payload.data]),
    [
      [
        'message.send_success',
        '/nylas/send',
        { ...whose, object: { ...object, schedule_id: 'sch_1', send_at: 1_767_300_000 } },
      ],
      [
        'message.send_failed',
        '/nylas/send',
        {
          ...whose,
          reason: 'refused',
          error: {
            type: 'api.provider_error',
            message: '550 denied',
            status_code: 550,
            provider_error: { code: '550' },
          },
          object,
        },
      ],
    ],
  );
});

test('mail that arrived is told as it was found, whatever characters it has', async (t) => {
  const { ground, tell, told } = await setting(t);
  await ground.destination('https://c.test', { triggers: ['message.created'] });
  const subject = 'a\0b \ud83d c 😀 \\u0000 \\ud800 "\\\\" {,} null \udc00';
  const mail: ToldMail = { ...MAIL, app: ground.app, grantId: ground.grantId, subject };
  await emit(ground.sql, [mailFact(mail)]);
  await tell();
  const [{ payload } = { payload: null }] = await told();
  assert.deepEqual(payload.data, {
    application_id: ground.applicationId,
    object: {
      id: 'msg_90bb12',
      grant_id: ground.grantId,
      object: 'message',
      thread_id: 'thr_1',
      subject: 'ab \ufffd c 😀 \\u0000 \\ud800 "\\\\" {,} null \ufffd',
      from: [{ name: 'Kim', email: 'kim@client.test' }],
      to: [{ name: '', email: 'nyla@shop.test' }],
      cc: [],
      bcc: [],
      reply_to: [],
      date: 1_767_300_290,
      body: '<p>Sounds good</p>',
      snippet: 'Sounds good',
      starred: false,
      unread: true,
      folders: ['INBOX'],
      attachments: [
        {
          id: 'att_1',
          filename: 'a.png',
          content_type: 'image/png',
          size: 3,
          is_inline: false,
          content_disposition: 'attachment',
          grant_id: ground.grantId,
        },
      ],
    },
  });
  assert.equal(payload.type, 'message.created');
  assert.equal(payload.source, '/imap/emails/realtime');
});

test('mail that is too large is told without its body, and much of it does not come at once', async (t) => {
  const { ground, tell, told } = await setting(t);
  await ground.destination('https://c.test', { triggers: ['message.created'] });
  const noise = (length: number): string => Buffer.from(crypto.getRandomValues(new Uint8Array(length))).toString('hex');
  const block = Array.from({ length: 8 }, () => noise(60_000)).join(''); // 960,000 letters that do not compress well
  const mail = (id: string, body: string): Fact =>
    mailFact({ ...MAIL, id, body, app: ground.app, grantId: ground.grantId });
  await emit(ground.sql, [
    mail('msg_0', block),
    mail('msg_1', `${block}${noise(20_001)}`),
    mail('msg_2', '"'.repeat(900_000)),
  ]);
  for (let at = 3; at < 15; at++) await emit(ground.sql, [mail(`msg_${at}`, block)]);
  await ground.happen(await ground.message(), {});
  assert.deepEqual(await tell(), { facts: 16, notifications: 15, coalesced: 0 });
  const seen = (await told()).map(({ payload }) => [
    payload.type,
    payload.data.object.id,
    'body' in payload.data.object,
  ]);
  assert.deepEqual(
    seen,
    Array.from({ length: 15 }, (_, at) =>
      at === 1 || at === 2 ? ['message.created.truncated', `msg_${at}`, false] : ['message.created', `msg_${at}`, true],
    ),
  );
  const stored = await ground.sql<{ body: string | null }[]>`
    select detail->>'body' as body from notifications where detail->>'id' = 'msg_1'`;
  assert.deepEqual([...stored], [{ body: null }]);
});

test('details that this version does not know tell nothing, and hold up nothing', async (t) => {
  const { ground, tell, states } = await setting(t);
  const triggers = ['message.send_success', 'message.send_failed', 'message.bounce_detected', 'message.created'];
  await ground.destination('https://c.test', { triggers: [...triggers, 'thread.replied', ...LEGACY] });
  const message = await ground.message();
  const fact = { app: ground.app, messageId: message, sequence: 0, linkCounts: null, happenedAt: new Date(NOW) };
  const details = [null, {}, { subject: 1 }, { message_id: [], thread_id: {}, addresses: [1], attachments: [[]] }];
  await emit(
    ground.sql,
    [...triggers, 'thread.replied'].flatMap((trigger) =>
      details.map((detail) => ({ ...fact, trigger, detail, subject: 'x' })),
    ),
  );
  await tell();
  const all = await states();
  const made = all.flatMap((state) => state?.trigger ?? []);
  // A send tells what is there: a process that died may have known no more.
  assert.ok(
    made.every((trigger) => trigger === 'message.send_success'),
    made.join(),
  );
  assert.equal(all.length, 24);
});

test('of a deleted grant nothing is told any more but that it was deleted', async (t) => {
  const { ground, tell, states, reply } = await setting(t);
  const { sql, app, grantId } = ground;
  await ground.destination('https://all.test', { triggers: TOLD });
  const message = await ground.message(['https://a.test']);
  await ground.happen(message, {}, { link: 0 });
  const about = { app, messageId: message, sequence: null, linkCounts: null, happenedAt: new Date(NOW) };
  const failure = { reason: 'refused', error: { type: 'x', message: 'x', statusCode: null, providerError: null } };
  await emit(sql, [
    replyFact(reply(message, {})),
    bounceFact({ ...BOUNCE, app, messageId: message }),
    mailFact({ ...MAIL, app, grantId }),
    { ...about, trigger: 'message.send_success', detail: JSON.parse(telling(true, null, null).detail) },
    { ...about, trigger: 'message.send_failed', detail: JSON.parse(telling(true, null, failure).detail) },
  ]);
  await tell();
  const told = async (): Promise<unknown[]> => (await states()).flatMap((state) => state?.trigger ?? []);
  assert.equal((await told()).length, 10);
  assert.ok(await deleteGrant(sql, app, grantId));
  await tell();
  assert.deepEqual(await told(), ['grant.deleted']);
  const rows = await sql<{ id: string }[]>`select id from notifications order by id`;
  const read = await Promise.all(rows.map(({ id }) => readState(sql, app, id)));
  assert.deepEqual(
    read.flatMap((state) => state?.trigger ?? []),
    ['grant.deleted'],
  );
});

test('an event of a number that no event has holds up no other', async (t) => {
  const { ground, tell, states } = await setting(t);
  await ground.destination('https://b.test', { triggers: ['message.opened'] });
  const message = await ground.message();
  const about = { app: ground.app, messageId: message, linkCounts: null, happenedAt: new Date(NOW) };
  await emit(ground.sql, [{ ...about, trigger: 'message.opened', sequence: -(2 ** 31) }]);
  await ground.happen(message, {});
  await tell();
  assert.deepEqual(
    (await states()).map((state) => state?.trigger ?? null),
    [null, 'message.opened'],
  );
});

test('ids rise in the order of the facts, also from one fan-out to the next', async (t) => {
  const { ground, tell } = await setting(t);
  await ground.destination('https://b.test', { triggers: ['message.opened', 'message.link_clicked', ...LEGACY] });
  const messages = [await ground.message(['https://a.test']), await ground.message(['https://a.test'])];
  for (let turn = 0; turn < 5; turn++) {
    for (const message of messages) await ground.happen(message, {}, { link: 0 }, {});
    await tell();
  }
  const rows = await ground.sql<{ message_id: string; trigger: string; sequence: number }[]>`
    select message_id, trigger, sequence from notifications order by id`;
  assert.equal(rows.length, 60);
  const next = new Map<string, number>();
  for (const { message_id, trigger, sequence } of rows) {
    const expected = next.get(message_id + trigger) ?? 0;
    assert.equal(sequence, expected);
    next.set(message_id + trigger, expected + 1);
  }
  const triggers = rows.slice(0, 6).map(({ trigger }) => trigger.replace('message.', ''));
  assert.deepEqual(triggers, [
    'opened',
    'opened.legacy',
    'link_clicked',
    'link_clicked.legacy',
    'opened',
    'opened.legacy',
  ]);
});

interface Setting {
  readonly ground: NotifyGround;
  /** Fans all facts out. */
  tell(): Promise<object>;
  /** What waits, in the order in which it would leave, the first address of the alphabet last. */
  states(): Promise<readonly (NotificationState | null)[]>;
  told(): Promise<readonly { readonly destination: string; readonly payload: ReturnType<typeof JSON.parse> }[]>;
  reply(root: string, changes: Partial<ToldReply>): ToldReply;
  /** As the room that finds replies does it. */
  recordReply(reply: ToldReply): Promise<void>;
}

async function setting(t: { after(release: () => Promise<void>): void }): Promise<Setting> {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  const { sql, app } = ground;
  const waiting = async (): Promise<readonly Prepared[]> => {
    const rows = await sql<{ destination_id: string; notification_id: string }[]>`
      select p.destination_id, p.notification_id
      from pending_deliveries p join destinations d on d.id = p.destination_id
      order by p.next_attempt_at, p.notification_id, d.address desc`;
    const claims = rows.map((row) => ({
      app,
      destinationId: row.destination_id,
      notificationId: row.notification_id,
      round: 0,
      attempt: 1,
    }));
    return await prepare(sql, claims, new Date(NOW));
  };
  return {
    ground,
    async tell() {
      const { facts, notifications, coalesced } = await fanOut({ sql, log: makeLog('error'), now: NOW }, 500);
      assert.equal((await sql`select from outbox`).length, 0);
      return { facts, notifications, coalesced };
    },
    async states() {
      return (await waiting()).map(({ state }) => state);
    },
    async told() {
      return (await waiting()).map(({ claim, state }) => {
        assert.ok(state);
        return { destination: claim.destinationId, payload: JSON.parse(renderPayload(state, claim.attempt)) };
      });
    },
    reply: (root, changes) => ({
      app,
      rootMessageId: root,
      sequence: 0,
      happenedAt: new Date(NOW),
      messageId: 'msg_reply',
      replyToMessageId: wireId('msg', root),
      threadId: 'thr_1',
      fromSelf: false,
      autoReply: false,
      ...changes,
    }),
    async recordReply(reply) {
      const [grant] = await sql<{ serial: number }[]>`select serial from grants where id = ${ground.grantId}`;
      assert.ok(grant);
      await transaction(sql, async (tx) => {
        await record(tx, [
          {
            id: uuidv7(),
            otherId: null,
            app,
            grant: grant.serial,
            message: reply.rootMessageId,
            trigger: 'thread.replied',
            link: null,
            at: reply.happenedAt,
            ip: '',
            userAgent: '',
            class: 'human',
            reasons: [],
            counts: true,
            detail: replyDetail(reply),
          },
        ]);
      });
    },
  };
}

interface ToldReply extends ReplyDetail {
  readonly app: number;
  readonly rootMessageId: string;
  readonly sequence: number;
  readonly happenedAt: Date;
}

/** As recording emits it. */
function replyFact(reply: ToldReply): Fact {
  const { app, rootMessageId: messageId, sequence, happenedAt } = reply;
  const detail = replyDetail(reply);
  return { app, trigger: 'thread.replied', messageId, sequence, detail, linkCounts: null, happenedAt };
}

const BOUNCE: Omit<ToldBounce, 'app' | 'messageId'> = {
  provider: 'imap',
  reason: 'mailbox does not exist',
  type: 'mailbox_unavailable',
  code: '550',
  bouncedAt: 1_767_300_100,
  addresses: ['kim@client.test'],
  origin: {
    from: 'nyla@shop.test',
    to: ['kim@client.test'],
    cc: [],
    bcc: [],
    subject: 'Renewal',
    mimeId: 'abc123@shop.test',
    sentAt: 1_767_300_000,
  },
  happenedAt: new Date(NOW),
};

const MAIL: Omit<ToldMail, 'app' | 'grantId'> = {
  provider: 'imap',
  id: 'msg_90bb12',
  threadId: 'thr_1',
  subject: 'Re: Renewal',
  from: [{ name: 'Kim', email: 'kim@client.test' }],
  to: [{ name: '', email: 'nyla@shop.test' }],
  cc: [],
  bcc: [],
  replyTo: [],
  date: 1_767_300_290,
  body: '<p>Sounds good</p>',
  snippet: 'Sounds good',
  starred: false,
  unread: true,
  folders: ['INBOX'],
  attachments: [
    {
      id: 'att_1',
      filename: 'a.png',
      contentType: 'image/png',
      size: 3,
      isInline: false,
      contentId: null,
      contentDisposition: 'attachment',
    },
  ],
  happenedAt: new Date(NOW),
};
