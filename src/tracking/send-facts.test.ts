import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readSendDetail, type SendDetail, type SendFailure, type ToldMail, telling } from './send-facts.ts';

const KIM = { name: 'Kim', email: 'kim@example.com' };
const MAIL: ToldMail = {
  subject: 'Renewal',
  snippet: 'Hello Kim',
  from: [{ name: '', email: 'shop@example.com' }],
  to: [KIM],
  cc: [{ name: 'Lee', email: 'lee@example.com' }],
  bcc: [],
  replyTo: [KIM, KIM],
  scheduleId: 'd1',
  sendAt: 1767300000,
  useDraft: true,
};
const FAILURE: SendFailure = {
  reason: '550 relay denied',
  error: {
    type: 'api.provider_error',
    message: 'The mail provider refused the message.',
    statusCode: 402,
    providerError: { reason: '550 relay denied', refused: [{ address: 'kim@example.com', reason: 'no' }] },
  },
};
const NOTHING: SendDetail = {
  subject: '',
  snippet: '',
  from: [],
  to: [],
  cc: [],
  bcc: [],
  replyTo: [],
  scheduleId: null,
  sendAt: null,
  useDraft: false,
  failure: null,
};

function stored(mail: ToldMail | null, failure: SendFailure | null): { readonly [name: string]: unknown } {
  return JSON.parse(telling(true, mail, failure).detail);
}

describe('what is told of a send', () => {
  it('is read back as it was written', () => {
    assert.deepEqual(readSendDetail(stored(MAIL, FAILURE)), { ...MAIL, failure: FAILURE });
    assert.deepEqual(readSendDetail(stored(MAIL, null)), { ...MAIL, failure: null });
    const bare = { reason: 'x', error: { ...FAILURE.error, statusCode: null, providerError: null } };
    assert.deepEqual(readSendDetail(stored(null, bare)), { ...NOTHING, failure: bare });
  });

  it('is stored in the names of the wire', () => {
    const names = 'subject snippet from to cc bcc reply_to schedule_id send_at use_draft failure';
    assert.deepEqual(Object.keys(stored(MAIL, FAILURE)).sort(), names.split(' ').sort());
  });

  it('is empty, not invented, where only the row is known', () => {
    assert.deepEqual(stored(null, null), {});
    assert.deepEqual(readSendDetail({ subject: 'Renewal' }), { ...NOTHING, subject: 'Renewal' });
  });

  it('holds nothing that the database refuses in JSON', () => {
    const subject = 'half \ud83d, NUL \0';
    const providerError = { reason: 'a\0b', refused: [{ address: '\ude00', reason: '' }] };
    const failure = { reason: '\0', error: { ...FAILURE.error, providerError } };
    const { detail } = telling(true, { ...MAIL, subject }, failure);
    assert.doesNotMatch(detail, /\\u0000|\\ud8|\\ude/);
    assert.equal(readSendDetail(JSON.parse(detail))?.subject, 'half \ufffd, NUL \ufffd');
  });

  const whole = stored(MAIL, FAILURE);
  const strangers: readonly (readonly [string, unknown])[] = [
    ['null', null],
    ['undefined', undefined],
    ['a text', 'text'],
    ['a list', [whole]],
    ['another subject', { ...whole, subject: 5 }],
    ['another list', { ...whole, to: KIM }],
    ['another person', { ...whole, cc: [{ email: 'lee@example.com' }] }],
    ['another time', { ...whole, send_at: '1767300000' }],
    ['another id', { ...whole, schedule_id: 1 }],
    ['another mark', { ...whole, use_draft: null }],
    ['another failure', { ...whole, failure: 'no' }],
    ['a failure without error', { ...whole, failure: { reason: 'no' } }],
    ['another error', { ...whole, failure: { reason: 'no', error: { type: 'a', message: 'b', provider_error: 'c' } } }],
  ];
  for (const [name, value] of strangers) {
    it(`is not read from ${name}`, () => assert.equal(readSendDetail(value), null));
  }
});
