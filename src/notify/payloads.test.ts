import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GrantState, renderPayload, type TrackingState } from './payloads.ts';

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

test('parsing and writing it again gives the same bytes', () => {
  for (const state of [OPENED, CLICKED, EXPIRED]) {
    const json = renderPayload(state, 3);
    assert.equal(JSON.stringify(JSON.parse(json)), json);
    assert.equal(JSON.parse(json).webhook_delivery_attempt, 3);
  }
});
