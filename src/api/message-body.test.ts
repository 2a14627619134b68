import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Value } from '@sinclair/typebox/value';
import type { Attachment } from '../send/compose.ts';
import { withoutNulls } from './body-bounds.ts';
import { DraftBody, filledIn, givenOf, MessageBody, outgoingOf, sendAtOf } from './message-body.ts';

const kim = { email: 'kim@example.com' };
const FILE: Attachment = { filename: 'a', contentType: 'text/plain', content: Buffer.from('a'), isInline: false };
const NOW = Date.UTC(2026, 0, 1, 12, 0, 0, 250);
const SECOND = Math.floor(NOW / 1000);

function refuses(action: () => unknown, message: RegExp | string): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof Error && 'status' in error);
    assert.equal(error.status, 400);
    if (typeof message === 'string') assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });
}

describe('a mail', () => {
  it('has everything, given or not', () => {
    assert.deepEqual(outgoingOf({ to: [kim], tracking_options: { opens: true } }), {
      from: null,
      to: [kim],
      cc: [],
      bcc: [],
      replyTo: [],
      subject: '',
      body: '',
      isPlaintext: false,
      replyToMessageId: '',
      customHeaders: [],
      metadata: {},
      attachments: [],
      tracking: { opens: true, links: false, threadReplies: false, label: '' },
    });
  });

  it('has the attachments of its JSON before those of its form', () => {
    const attachments = [{ filename: 'b', content: 'Yg==' }];
    assert.deepEqual(
      outgoingOf({ to: [kim], attachments }, [FILE]).attachments.map(({ filename }) => filename),
      ['b', 'a'],
    );
  });

  const notYet: readonly (readonly [object, RegExp])[] = [
    [{ sent_at: 1_800_000_000 }, /^sent_at is not supported: the field is send_at$/],
    [{ use_draft: true }, /^use_draft is not supported: /],
    [{ use_draft: 'yes' }, /^use_draft is not supported: /],
    [{ signature_id: 'x' }, /^signature_id is not supported: /],
    [{ template: { id: 'x' } }, /^template is not supported: /],
    [{ attachments: [{ id: 'x' }] }, /^attachments\[0\]\.id is not supported: send the content/],
  ];
  for (const [member, message] of notYet) {
    it(`is refused with ${JSON.stringify(member)}, in a draft too`, () => {
      refuses(() => outgoingOf({ to: [kim], ...member }), message);
      refuses(() => givenOf(member), message);
    });
  }

  it('may bring what is not supported when it is empty', () => {
    const empty = { use_draft: false, signature_id: '', template: null, send_at: null };
    assert.equal(Value.Check(MessageBody, withoutNulls({ to: [kim], ...empty })), true);
    outgoingOf({ to: [kim], use_draft: false, signature_id: '', template: '' });
    givenOf({ use_draft: '', signature_id: null, template: null, send_at: null });
  });
});

describe('a draft', () => {
  it('has what was given and nothing else', () => {
    assert.deepEqual(givenOf({}), {});
    assert.deepEqual(givenOf({ starred: true }), {});
    assert.deepEqual(givenOf({ subject: '', to: [], from: [], attachments: [], metadata: {} }), {
      subject: '',
      to: [],
      from: null,
      attachments: [],
      metadata: {},
    });
    assert.deepEqual(givenOf({ tracking_options: { label: 'x' } }), { tracking: { label: 'x' } });
    assert.deepEqual(givenOf({}, [FILE]), { attachments: [FILE] });
    assert.deepEqual(givenOf({ is_plaintext: false, reply_to_message_id: '', custom_headers: [], cc: [kim] }), {
      isPlaintext: false,
      replyToMessageId: '',
      customHeaders: [],
      cc: [kim],
    });
  });

  it('becomes whole', () => {
    const whole = filledIn(givenOf({ subject: 'x', tracking_options: { label: 'x' } }));
    assert.deepEqual(whole, { ...outgoingOf({ to: [] }), subject: 'x', tracking: { ...whole.tracking, label: 'x' } });
  });

  it('needs nobody to go to, and has no time', () => {
    assert.equal(Value.Check(DraftBody, {}), true);
    assert.equal(Value.Check(DraftBody, { to: [] }), true);
    assert.equal(Value.Check(DraftBody, { to: [{}] }), false);
    refuses(() => givenOf({ send_at: 4_000_000_000 }), /^send_at is not supported in a draft: /);
  });
});

describe('send_at', () => {
  const at = (sendAt?: number): number | null =>
    sendAtOf({ to: [kim], ...(sendAt !== undefined && { send_at: sendAt }) }, NOW);

  it('is a whole number', () => {
    for (const value of ['1', 1.5, true, {}])
      assert.equal(Value.Check(MessageBody, { to: [kim], send_at: value }), false);
    assert.equal(Value.Check(MessageBody, { to: [kim], send_at: SECOND }), true);
  });

  it('is from 60 seconds to 30 days ahead', () => {
    assert.equal(at(), null);
    assert.equal(at(SECOND + 60), SECOND + 60);
    assert.equal(at(SECOND + 30 * 86_400), SECOND + 30 * 86_400);
    refuses(() => at(SECOND + 59), 'send_at must be at least 60 seconds ahead, and is 59 seconds ahead');
    for (const past of [SECOND, SECOND - 1, 0, -1]) {
      refuses(() => at(past), 'send_at must be at least 60 seconds ahead, and is not ahead at all');
    }
    refuses(() => at(SECOND + 30 * 86_400 + 1), 'send_at must be at most 30 days ahead, and is 31 days ahead');
  });

  it('is told apart from milliseconds', () => {
    for (const value of [NOW + 120_000, 1e300]) refuses(() => at(value), /^send_at must be a time in Unix seconds/);
  });
});
