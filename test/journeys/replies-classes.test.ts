// What comes back to a tracked mail and is no reply: machines, mail servers and the sender. Kept, and told only as far as wanted.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ALICE, BOB, noDovecot } from '../support/dovecot.ts';
import { GONE, NOWHERE, SLOW } from '../support/postfix-config.ts';
import { type ReplyGround, startReplyGround, type Tracked } from '../support/reply-ground.ts';
import { at, eventually } from '../support/service.ts';

const ALIAS = 'al@sales.example.test';
const OUT_OF_OFFICE = { 'Auto-Submitted': 'auto-replied', 'X-Autoreply': 'yes', Precedence: 'auto_reply' };

describe('what is no reply, on Dovecot and Postfix', { skip: noDovecot() }, () => {
  let ground: ReplyGround;

  before(async () => {
    ground = await startReplyGround({ env: { TELLTALE_MAILBOX_POLL_SECONDS: '3' } });
  });
  after(() => ground?.close());

  const repliesTo = (root: Tracked): readonly unknown[] =>
    ground.notes('thread.replied').filter((note) => at(note, 'root_message_id') === root.id);
  const bouncesOf = (root: Tracked): readonly unknown[] =>
    ground.notes('message.bounce_detected').filter((note) => at(note, 'message_id') === root.id);
  /** As another mail program of Alice keeps what it sent. */
  const keepInSent = async (letter: Parameters<ReplyGround['letter']>[0]): Promise<void> => {
    const { raw } = await ground.letter({ from: ALICE, to: BOB, ...letter });
    await ground.host.withProgram(ALICE, (program) => program.append('Sent', raw, ['\\Seen']));
  };

  it('keeps an out-of-office notice and does not tell of it', async () => {
    const root = await ground.track('Absent');
    await ground.answer(root, { headers: OUT_OF_OFFICE, text: 'I am on holiday.' });
    await ground.fence();
    assert.deepEqual(repliesTo(root), []);
    assert.equal((await ground.inThread(root, 2)).length, 2);
    await ground.answer(root, { text: 'I am back.' });
    const [reply] = await ground.replied(root, 1);
    assert.equal(at(reply, 'reply_data.count'), 1, 'the notice is not counted');
    assert.equal(at(reply, 'auto_reply'), false);
  });

  it('tells of it as an automatic one where that is wanted', async () => {
    await ground.set({ notify_auto_replies: true });
    const root = await ground.track('Absent again');
    await ground.answer(root, { headers: OUT_OF_OFFICE });
    const [reply] = await ground.replied(root, 1);
    assert.equal(at(reply, 'auto_reply'), true);
    assert.equal(at(reply, 'from_self'), false);
    assert.equal(at(reply, 'reply_data.count'), 1);
    await ground.set({ notify_auto_replies: false });
  });

  const HARD = [
    [GONE, 'mailbox_unavailable', '550', /User doesn't exist/],
    [NOWHERE, 'domain_not_found', '550', /Host or domain name not found/],
  ] as const;
  for (const [recipient, type, code, reason] of HARD) {
    it(`tells of a mail that came back: ${type}`, async () => {
      const root = await ground.track(`To ${recipient}`, {
        to: [{ email: recipient }],
        cc: [{ email: BOB }],
        bcc: [{ email: 'hidden@example.com' }],
      });
      const bounce = await eventually('the bounce is told', () => bouncesOf(root)[0], 30_000);
      assert.match(String(at(bounce, 'bounce_reason')), reason);
      const date = String(at(bounce, 'bounce_date'));
      assert.match(date, /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} \+0000$/);
      assert.ok(Math.abs(Date.parse(date) - Date.now()) < 60_000, date);
      const sentAt = String(at(bounce, 'origin.original_send_at'));
      assert.ok(Math.abs(Date.parse(sentAt) - Date.now()) < 60_000, sentAt);
      assert.deepEqual(
        {
          ...Object(bounce),
          bounce_reason: '',
          bounce_date: '',
          origin: { ...Object(at(bounce, 'origin')), original_send_at: '' },
        },
        {
          bounce_reason: '',
          bounce_date: '',
          bounced_addresses: recipient,
          type,
          code,
          grant_id: ground.alice,
          message_id: root.id,
          origin: {
            to: [recipient],
            from: ALICE,
            cc: [BOB],
            bcc: at(bounce, 'origin.bcc'),
            subject: root.subject,
            mime_id: at(bounce, 'origin.mime_id'),
            id: root.id,
            original_send_at: '',
          },
        },
      );
      assert.match(String(at(bounce, 'origin.mime_id')), /^[^<>@]+@example\.test$/);
      await ground.fence();
      assert.deepEqual(repliesTo(root), []);
      assert.equal(bouncesOf(root).length, 1);
    });
  }

  it('keeps a warning that a mail is late, and tells nothing', async () => {
    const root = await ground.track('Late', { to: [{ email: SLOW }] });
    await ground.inThread(root, 2);
    await ground.fence();
    assert.deepEqual(bouncesOf(root), []);
    assert.deepEqual(repliesTo(root), []);
  });

  it('does not tell of what the sender adds by the API', async () => {
    const root = await ground.track('Addition');
    await ground.sdk.messages.send({
      identifier: ground.alice,
      requestBody: { to: [{ email: BOB }], subject: 'Re: Addition', body: 'P.S.', replyToMessageId: root.id },
    });
    await ground.inThread(root, 2);
    await eventually('its copy lies in Sent', async () => {
      const copies = await ground.host.mails(ALICE, 'Sent');
      return copies.some((raw) => /^Subject: Re: Addition\r$/m.test(raw.toString('latin1'))) || undefined;
    });
    await ground.fence();
    await ground.answer(root);
    const [reply] = await ground.replied(root, 1);
    assert.equal(at(reply, 'reply_data.count'), 1);
    assert.equal(at(reply, 'from_self'), false);
  });

  it('does not tell of what the sender adds by another mail program, but where that is wanted', async () => {
    const root = await ground.track('Afterthought');
    await keepInSent({ subject: 'Re: Afterthought', inReplyTo: root.messageId });
    assert.equal((await ground.inThread(root, 2)).length, 2);
    await ground.fence();
    assert.deepEqual(repliesTo(root), []);

    await ground.set({ notify_self_replies: true });
    await keepInSent({ subject: 'Re: Afterthought', inReplyTo: root.messageId });
    const [reply] = await ground.replied(root, 1);
    assert.equal(at(reply, 'from_self'), true);
    assert.equal(at(reply, 'auto_reply'), false);
    assert.equal(at(reply, 'reply_data.count'), 1);
    await ground.set({ notify_self_replies: false });
  });

  it('knows the sender under another address it has sent from', async () => {
    const root = await ground.track('Alias', { from: [{ email: ALIAS }] });
    const own = { from: ALIAS, to: BOB, subject: 'Re: Alias', inReplyTo: root.messageId };
    // A mailing list or a rule brings it back to the inbox.
    const { raw } = await ground.letter(own);
    await ground.host.deliver(ALICE, raw);
    await ground.fence();
    assert.equal((await ground.inThread(root, 2)).length, 2);
    assert.deepEqual(repliesTo(root), []);
  });

  it('told of nothing twice', () => {
    const told = ground.notes('thread.replied').map((note) => at(note, 'message_id'));
    assert.equal(new Set(told).size, told.length);
    assert.equal(ground.notes('message.bounce_detected').length, HARD.length);
  });
});
