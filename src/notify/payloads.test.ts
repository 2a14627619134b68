import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aboutOf } from './contents.ts';
import type { GrantState } from './payloads/grants.ts';
import type { LegacyTrackingState } from './payloads/legacy.ts';
import { fitting, type MailState } from './payloads/mail.ts';
import type { BounceState, SendFailedState, SentState } from './payloads/sends.ts';
import type { ReplyState, TrackingState } from './payloads/tracking.ts';
import { type NotificationState, renderPayload } from './payloads.ts';

const OPENED: TrackingState = {
  id: '0199b0c0-0000-7000-8000-000000000001',
  trigger: 'message.opened',
  messageId: '0199b0bf-0000-7000-8000-000000000002',
  sequence: 1,
  linkCounts: null,
  happenedAt: new Date('2026-01-01T10:02:00.999Z'),
  createdAt: new Date('2026-01-01T10:02:01.001Z'),
  applicationId: '6a0e1f52-0d57-4b44-9c27-0f6c0f5b7a11',
  grantId: 'b5c6f0c2-7b54-4a9b-8d0e-3a1f6f0a4d22',
  label: 'spring “renewal” <é>',
  links: [],
  recents: [
    {
      sequence: 0,
      linkIndex: null,
      happenedAt: new Date('2026-01-01T09:00:00Z'),
      ip: '198.51.100.7',
      userAgent: 'Mozilla/5.0',
      class: 'proxy',
      reasons: ['image_proxy'],
    },
    {
      sequence: 1,
      linkIndex: null,
      happenedAt: new Date('2026-01-01T10:02:00.999Z'),
      ip: '',
      userAgent: 'a "quoted" / agent \u2028',
      class: 'human',
      reasons: [],
    },
  ],
};

const CLICKED: TrackingState = {
  ...OPENED,
  trigger: 'message.link_clicked',
  label: '',
  sequence: 2,
  linkCounts: [3, 0],
  links: ['https://espn.com', 'mailto:help@shop.test', 'tel:+1-201-555-0123'],
  recents: OPENED.recents.map((event) => ({ ...event, sequence: event.sequence + 1, linkIndex: event.sequence })),
};

const EXPIRED: GrantState = {
  id: OPENED.id,
  trigger: 'grant.expired',
  createdAt: OPENED.createdAt,
  applicationId: OPENED.applicationId,
  grantId: OPENED.grantId,
  detail: {
    provider: 'imap',
    email: 'nyla@shop.test',
    name: 'Nyla “N” <Shop>',
    scope: ['mail.send'],
    updatedAt: 1_767_261_600,
    reauthenticated: false,
  },
};

test('message.opened is the page’s example, with the members we add', () => {
  const json = renderPayload(OPENED, 1);
  assert.equal(
    json,
    '{"specversion":"1.0","type":"message.opened","source":"/com/nylas/tracking","id":"ntf_06cv1g0001r010000000000004",' +
      '"time":1767261721,"webhook_delivery_attempt":1,"data":{"application_id":"6a0e1f52-0d57-4b44-9c27-0f6c0f5b7a11",' +
      '"grant_id":"b5c6f0c2-7b54-4a9b-8d0e-3a1f6f0a4d22","object":{"object":"message",' +
      '"grant_id":"b5c6f0c2-7b54-4a9b-8d0e-3a1f6f0a4d22","message_data":{"count":2,"timestamp":1767261720},' +
      '"message_id":"msg_06cv1fr001r010000000000008","label":"spring “renewal” <é>","recents":[' +
      '{"ip":"198.51.100.7","opened_id":0,"timestamp":1767258000,"user_agent":"Mozilla/5.0","class":"proxy",' +
      '"reasons":["image_proxy"]},' +
      '{"ip":"","opened_id":1,"timestamp":1767261720,"user_agent":"a \\"quoted\\" / agent \u2028","class":"human",' +
      '"reasons":[]}],"sender_app_id":"6a0e1f52-0d57-4b44-9c27-0f6c0f5b7a11","timestamp":1767261720}}}',
  );
});

test('message.link_clicked is the page’s example: ids and link numbers are strings, every link is counted', () => {
  const { data } = JSON.parse(renderPayload(CLICKED, 8));
  assert.deepEqual(data.object, {
    object: 'message',
    grant_id: 'b5c6f0c2-7b54-4a9b-8d0e-3a1f6f0a4d22',
    link_data: [
      { count: 3, url: 'https://espn.com' },
      { count: 0, url: 'mailto:help@shop.test' },
      { count: 0, url: 'tel:+1-201-555-0123' },
    ],
    message_id: 'msg_06cv1fr001r010000000000008',
    label: '',
    recents: [
      {
        click_id: '1',
        ip: '198.51.100.7',
        link_index: '0',
        timestamp: 1767258000,
        user_agent: 'Mozilla/5.0',
        class: 'proxy',
        reasons: ['image_proxy'],
      },
      {
        click_id: '2',
        ip: '',
        link_index: '1',
        timestamp: 1767261720,
        user_agent: 'a "quoted" / agent \u2028',
        class: 'human',
        reasons: [],
      },
    ],
    sender_app_id: '6a0e1f52-0d57-4b44-9c27-0f6c0f5b7a11',
    timestamp: 1767261720,
  });
});

// Every trigger of a grant: no `data.grant_id`, and the members of the reference in its order.
const GRANT_OBJECTS: readonly (readonly [GrantState['trigger'], boolean, string, string])[] = [
  ['grant.created', false, '25012', ',"name":"Nyla “N” <Shop>","scope":["mail.send"]'],
  ['grant.updated', false, '25014', ',"reauthentication_flag":false'],
  ['grant.updated', true, '25027', ',"reauthentication_flag":true'],
  ['grant.expired', false, '25009', ',"grant_updated_at":1767261600'],
  ['grant.deleted', false, '25013', ''],
];

for (const [trigger, reauthenticated, code, rest] of GRANT_OBJECTS) {
  test(`${trigger} is the reference’s, code ${code}`, () => {
    const state: GrantState = { ...EXPIRED, trigger, detail: { ...EXPIRED.detail, reauthenticated } };
    assert.equal(
      renderPayload(state, 2),
      `{"specversion":"1.0","type":"${trigger}","source":"/nylas/system","id":"ntf_06cv1g0001r010000000000004",` +
        '"time":1767261721,"webhook_delivery_attempt":2,' +
        '"data":{"application_id":"6a0e1f52-0d57-4b44-9c27-0f6c0f5b7a11",' +
        `"object":{"code":${code},"grant_id":"b5c6f0c2-7b54-4a9b-8d0e-3a1f6f0a4d22","integration_id":"imap",` +
        `"provider":"imap","email":"nyla@shop.test"${rest}}}}`,
    );
  });
}

const BASE = {
  id: OPENED.id,
  createdAt: OPENED.createdAt,
  applicationId: OPENED.applicationId,
  grantId: OPENED.grantId,
};

const OPENED_LEGACY: LegacyTrackingState = {
  ...OPENED,
  trigger: 'message.opened.legacy',
  firstAt: new Date('2026-01-01T08:59:59.500Z'),
};
const CLICKED_LEGACY: LegacyTrackingState = {
  ...CLICKED,
  trigger: 'message.link_clicked.legacy',
  firstAt: OPENED_LEGACY.firstAt,
};

const REPLIED: ReplyState = {
  ...BASE,
  trigger: 'thread.replied',
  messageId: OPENED.messageId,
  sequence: 2,
  happenedAt: OPENED.happenedAt,
  label: OPENED.label,
  detail: {
    messageId: 'msg_reply',
    replyToMessageId: 'msg_between',
    threadId: 'thr_4410aa',
    fromSelf: false,
    autoReply: true,
  },
};

const SENT: SentState = {
  ...BASE,
  trigger: 'message.send_success',
  messageId: OPENED.messageId,
  detail: {
    subject: 'Renewal “A” <B>',
    snippet: 'Hello Kim',
    from: [{ name: 'Nyla', email: 'nyla@shop.test' }],
    to: [{ name: '', email: 'kim@client.test' }],
    cc: [],
    bcc: [{ name: 'Boss', email: 'boss@shop.test' }],
    replyTo: [],
    scheduleId: '0d4f1f1e-52a4-4a3e-8b9d-6f0a1d5a7a10',
    sendAt: 1_767_300_000,
    useDraft: true,
    failure: null,
  },
};

const FAILURE = {
  reason: 'SMTP server refused the message',
  error: {
    type: 'api.provider_error',
    message: '550 relay denied',
    statusCode: 550,
    providerError: { code: '550', 7: [] },
  },
};
const FAILED: SendFailedState = {
  ...BASE,
  trigger: 'message.send_failed',
  messageId: OPENED.messageId,
  detail: { ...SENT.detail, scheduleId: null, sendAt: null, useDraft: false, failure: FAILURE },
};

const BOUNCED: BounceState = {
  ...BASE,
  trigger: 'message.bounce_detected',
  messageId: OPENED.messageId,
  detail: {
    provider: 'imap',
    reason: 'mailbox does not exist',
    type: 'mailbox_unavailable',
    code: '550',
    bouncedAt: 1_767_300_100,
    addresses: ['kim@client.test', 'lee@client.test'],
    origin: {
      from: 'nyla@shop.test',
      to: ['kim@client.test'],
      cc: ['lee@client.test'],
      bcc: [],
      subject: 'Renewal',
      mimeId: 'abc123@shop.test',
      sentAt: 1_767_300_000,
    },
  },
};

const CREATED: MailState = {
  ...BASE,
  trigger: 'message.created',
  detail: {
    provider: 'google',
    id: 'msg_90bb12',
    threadId: 'thr_4410aa',
    subject: 'Re: Renewal',
    from: [{ name: 'Kim', email: 'kim@client.test' }],
    to: [{ name: 'Nyla', email: 'nyla@shop.test' }],
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
        isInline: true,
        contentId: 'a@b',
        contentDisposition: 'inline',
      },
      {
        id: 'att_2',
        filename: 'b.pdf',
        contentType: 'application/pdf',
        size: 4,
        isInline: false,
        contentId: null,
        contentDisposition: null,
      },
    ],
  },
};

const APP = '"application_id":"6a0e1f52-0d57-4b44-9c27-0f6c0f5b7a11"';
const GRANT = '"grant_id":"b5c6f0c2-7b54-4a9b-8d0e-3a1f6f0a4d22"';
const ROOT = 'msg_06cv1fr001r010000000000008';

function envelope(type: string, source: string, data: string): string {
  return (
    `{"specversion":"1.0","type":"${type}","source":"${source}","id":"ntf_06cv1g0001r010000000000004",` +
    `"time":1767261721,"webhook_delivery_attempt":1,"data":{${data}}}`
  );
}

function legacy(type: string, [object, kind]: readonly [string, string], id: string, metadata: string): string {
  return envelope(
    `${type}.legacy`,
    '/com/nylas/tracking',
    `${APP},${GRANT},"object":{"object":"${object}",${GRANT},"deltas":[{"date":1767261720,"object":"${kind}","type":"${type}",` +
      '"object_data":{"account_id":"b5c6f0c2-7b54-4a9b-8d0e-3a1f6f0a4d22",' +
      `"namespace_id":"b5c6f0c2-7b54-4a9b-8d0e-3a1f6f0a4d22","id":"${id}","object":"${kind}","attributes":null,` +
      `"metadata":{${metadata}}}}]}`,
  );
}

const MESSAGE_IN_SENDS =
  `"object":{"object":"message",${GRANT},"id":"${ROOT}","subject":"Renewal “A” <B>","snippet":"Hello Kim",` +
  '"from":[{"name":"Nyla","email":"nyla@shop.test"}],"to":[{"name":"","email":"kim@client.test"}],"cc":[],' +
  '"bcc":[{"name":"Boss","email":"boss@shop.test"}],"reply_to":[]';

const ARRIVED =
  `"id":"msg_90bb12",${GRANT},"object":"message","thread_id":"thr_4410aa","subject":"Re: Renewal",` +
  '"from":[{"name":"Kim","email":"kim@client.test"}],"to":[{"name":"Nyla","email":"nyla@shop.test"}],"cc":[],"bcc":[],' +
  '"reply_to":[],"date":1767300290';
const ARRIVED_END =
  '"snippet":"Sounds good","starred":false,"unread":true,"folders":["INBOX"],"attachments":[' +
  '{"id":"att_1","filename":"a.png","content_type":"image/png","size":3,"is_inline":true,"content_id":"a@b",' +
  `"content_disposition":"inline",${GRANT}},` +
  `{"id":"att_2","filename":"b.pdf","content_type":"application/pdf","size":4,"is_inline":false,"content_disposition":"attachment",${GRANT}}]`;

const GOLDEN: readonly (readonly [string, NotificationState, string])[] = [
  [
    'message.opened.legacy is the shape of version 2: the first open’s time, ids that are numbers, nothing of ours',
    OPENED_LEGACY,
    legacy(
      'message.opened',
      ['message', 'metadata'],
      ROOT,
      `"count":2,"message_id":"${ROOT}","payload":"spring “renewal” <é>","recents":[` +
        '{"id":0,"ip":"198.51.100.7","timestamp":1767258000,"user_agent":"Mozilla/5.0"},' +
        '{"id":1,"ip":"","timestamp":1767261720,"user_agent":"a \\"quoted\\" / agent \u2028"}],"timestamp":1767257999',
    ),
  ],
  [
    'message.link_clicked.legacy has numbers for links',
    CLICKED_LEGACY,
    legacy(
      'message.link_clicked',
      ['message', 'metadata'],
      ROOT,
      '"link_data":[{"count":3,"url":"https://espn.com"},{"count":0,"url":"mailto:help@shop.test"},' +
        `{"count":0,"url":"tel:+1-201-555-0123"}],"message_id":"${ROOT}","payload":"","recents":[` +
        '{"id":1,"ip":"198.51.100.7","link_index":0,"timestamp":1767258000,"user_agent":"Mozilla/5.0"},' +
        '{"id":2,"ip":"","link_index":1,"timestamp":1767261720,"user_agent":"a \\"quoted\\" / agent \u2028"}],' +
        '"timestamp":1767257999',
    ),
  ],
  [
    'thread.replied is the page’s example, with the members we add',
    REPLIED,
    envelope(
      'thread.replied',
      '/com/nylas/tracking',
      `${APP},${GRANT},"object":{"object":"thread",${GRANT},"message_id":"msg_reply","root_message_id":"${ROOT}",` +
        '"label":"spring “renewal” <é>","reply_data":{"count":3},' +
        '"sender_app_id":"6a0e1f52-0d57-4b44-9c27-0f6c0f5b7a11","thread_id":"thr_4410aa","timestamp":1767261720,' +
        '"reply_to_message_id":"msg_between","from_self":false,"auto_reply":true}',
    ),
  ],
  [
    'thread.replied.legacy has the reply for its object',
    { ...REPLIED, trigger: 'thread.replied.legacy' },
    legacy(
      'thread.replied',
      ['thread', 'message'],
      'msg_reply',
      '"from_self":false,"message_id":"msg_reply","payload":"spring “renewal” <é>",' +
        '"reply_to_message_id":"msg_between","thread_id":"thr_4410aa","timestamp":1767261720',
    ),
  ],
  [
    'message.send_success names what was scheduled',
    SENT,
    envelope(
      'message.send_success',
      '/nylas/send',
      `${APP},${GRANT},${MESSAGE_IN_SENDS},"schedule_id":"0d4f1f1e-52a4-4a3e-8b9d-6f0a1d5a7a10",` +
        '"send_at":1767300000,"use_draft":true}',
    ),
  ],
  [
    'message.send_failed has reason and error beside its object',
    FAILED,
    envelope(
      'message.send_failed',
      '/nylas/send',
      `${APP},${GRANT},"reason":"SMTP server refused the message","error":{"type":"api.provider_error",` +
        '"message":"550 relay denied","status_code":550,"provider_error":{"7":[],"code":"550"}},' +
        `${MESSAGE_IN_SENDS}}`,
    ),
  ],
  [
    'message.bounce_detected tells dates as mail has them, and one string of addresses',
    BOUNCED,
    envelope(
      'message.bounce_detected',
      '/imap/emails/realtime',
      `${APP},${GRANT},"object":{"bounce_reason":"mailbox does not exist",` +
        '"bounce_date":"Thu, 01 Jan 2026 20:41:40 +0000","bounced_addresses":"kim@client.test, lee@client.test",' +
        `"type":"mailbox_unavailable","code":"550",${GRANT},"message_id":"${ROOT}","origin":{"to":["kim@client.test"],` +
        '"from":"nyla@shop.test","cc":["lee@client.test"],"bcc":[],"subject":"Renewal",' +
        `"mime_id":"abc123@shop.test","id":"${ROOT}","original_send_at":"Thu, 01 Jan 2026 20:40:00 +0000"}}`,
    ),
  ],
  [
    'message.created has its grant in the object alone',
    CREATED,
    envelope(
      'message.created',
      '/google/emails/realtime',
      `${APP},"object":{${ARRIVED},"body":"<p>Sounds good</p>",${ARRIVED_END}}`,
    ),
  ],
  [
    'message.created without its body is truncated',
    { ...CREATED, detail: { ...CREATED.detail, body: null } },
    envelope('message.created.truncated', '/google/emails/realtime', `${APP},"object":{${ARRIVED},${ARRIVED_END}}`),
  ],
];

for (const [name, state, json] of GOLDEN) test(name, () => assert.equal(renderPayload(state, 1), json));

test('what is not known or not so is left out, never null', () => {
  const quiet: ReplyState = { ...REPLIED, detail: { ...REPLIED.detail, replyToMessageId: null } };
  assert.ok(!renderPayload(quiet, 1).includes('reply_to'));
  assert.ok(!renderPayload({ ...quiet, trigger: 'thread.replied.legacy' }, 1).includes('reply_to'));
  const bare = { ...FAILURE, error: { ...FAILURE.error, statusCode: null, providerError: null } };
  const { data } = JSON.parse(renderPayload({ ...FAILED, detail: { ...FAILED.detail, failure: bare } }, 1));
  assert.deepEqual(data.error, { type: 'api.provider_error', message: '550 relay denied' });
});

test('mail goes with its body up to a million bytes, and beyond without', () => {
  const bytes = (state: MailState): number => Buffer.byteLength(renderPayload(state, 8));
  const withBody = (body: string): MailState => ({ ...CREATED, detail: { ...CREATED.detail, body } });
  for (const letter of ['x', 'é', '"', '\u0001', '😀']) {
    const each = Buffer.byteLength(JSON.stringify(letter)) - 2;
    const most = Math.floor((1_000_000 - bytes(withBody(''))) / each);
    const whole = withBody(letter.repeat(most - Math.ceil(1_000 / each)));
    assert.equal(fitting(whole), whole);
    const cut = fitting(withBody(letter.repeat(most + 1)));
    assert.equal(cut.detail.body, null);
    assert.ok(bytes(cut) < 2_000);
    assert.ok(bytes(fitting(withBody(letter.repeat(most)))) <= 1_000_000);
  }
});

test('far ends that sort are told the type, and the message that all of it is about', () => {
  const about = (state: NotificationState): unknown => [aboutOf(state).trigger, aboutOf(state).messageId];
  assert.deepEqual(about(OPENED), ['message.opened', ROOT]);
  assert.deepEqual(about(CLICKED_LEGACY), ['message.link_clicked.legacy', ROOT]);
  assert.deepEqual(about(REPLIED), ['thread.replied', ROOT]);
  assert.deepEqual(about(BOUNCED), ['message.bounce_detected', ROOT]);
  assert.deepEqual(about(FAILED), ['message.send_failed', ROOT]);
  assert.deepEqual(about({ ...CREATED, detail: { ...CREATED.detail, body: null } }), [
    'message.created.truncated',
    'msg_90bb12',
  ]);
  assert.deepEqual(about(EXPIRED), ['grant.expired', null]);
  assert.equal(aboutOf(EXPIRED).grantId, EXPIRED.grantId);
  assert.equal(aboutOf(EXPIRED).applicationId, EXPIRED.applicationId);
});

test('parsing and writing it again gives the same bytes', () => {
  for (const state of [OPENED, CLICKED, EXPIRED, ...GOLDEN.map(([, golden]) => golden)]) {
    const json = renderPayload(state, 3);
    assert.equal(JSON.stringify(JSON.parse(json)), json);
    assert.equal(JSON.parse(json).webhook_delivery_attempt, 3);
  }
});
