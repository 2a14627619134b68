// Answers in the practice mailbox: told as from a real one, whatever happens to the service.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { hostileMails, type Letter, newMessageId, written } from '../support/letters.ts';
import { nylas } from '../support/nylas.ts';
import { KIM, type PracticeGround, startPracticeGround } from '../support/practice-ground.ts';
import { at, eventually } from '../support/service.ts';

describe('replies in the practice mailbox', () => {
  let ground: PracticeGround;

  before(async () => {
    ground = await startPracticeGround();
  });
  after(() => ground?.close());

  const letter = (parts: Partial<Letter>): Promise<Buffer> =>
    written({ from: KIM, to: 'you@practice.test', subject: 'Hello', messageId: newMessageId(), ...parts });
  const api = async (method: string, path: string, body?: object): Promise<(where: string) => unknown> => {
    const answer = await ground.service().api(method, path, body);
    assert.ok(answer.status < 300, answer.text);
    return answer.at;
  };
  const counts = (replies: readonly unknown[]): number[] =>
    replies.map((reply) => Number(at(reply, 'reply_data.count'))).sort((one, other) => one - other);
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

  it('tells of an answer, and of a message and a thread that the SDK finds', async () => {
    const root = await ground.track('Offer');
    const answered = await ground.answer(root, { text: 'Yes, please.' });
    const [reply] = await ground.replied(root, 1);
    const messageId = String(at(reply, 'message_id'));
    assert.deepEqual(
      { ...Object(reply), timestamp: 0, sender_app_id: '' },
      {
        object: 'thread',
        grant_id: ground.grant(),
        message_id: messageId,
        root_message_id: root.id,
        reply_to_message_id: root.id,
        from_self: false,
        auto_reply: false,
        label: 'Offer',
        reply_data: { count: 1 },
        sender_app_id: '',
        thread_id: root.threadId,
        timestamp: 0,
      },
    );
    const service = ground.service();
    const sdk = nylas({ apiKey: await service.apiKey(), apiUri: service.url });
    const { data: message } = await sdk.messages.find({ identifier: ground.grant(), messageId });
    assert.match(String(message.body), /Yes, please\./);
    assert.equal(message.from?.[0]?.email, at(answered.at('data.from'), '0.email'));
    const { data: thread } = await sdk.threads.find({ identifier: ground.grant(), threadId: root.threadId });
    assert.deepEqual([...(thread.messageIds ?? [])].sort(), [root.id, messageId].sort());
    const created = await eventually('its arrival is told', () =>
      ground.notes('message.created').find((mail) => at(mail, 'id') === messageId),
    );
    assert.equal(at(created, 'subject'), 'Re: Offer');

    await ground.put(await letter({ subject: 'Re: Offer', inReplyTo: String(answered.at('data.message_id')) }));
    const [, second] = await ground.replied(root, 2);
    assert.equal(at(second, 'reply_to_message_id'), messageId);
    assert.equal(at(second, 'reply_data.count'), 2);
  });

  it('counts for the nearest of two tracked messages in one thread', async () => {
    const root = await ground.track('Plan');
    const second = await ground.track('Re: Plan', { reply_to_message_id: root.id });
    await ground.answer(second);
    await ground.replied(second, 1);
    await ground.answer(root);
    await ground.replied(root, 1);
    await ground.fence();
    assert.deepEqual([ground.repliesTo(root).length, ground.repliesTo(second).length], [1, 1]);
  });

  it('tells twenty answers at once one by one, and counts them without a gap', async () => {
    const root = await ground.track('Poll');
    await Promise.all(Array.from({ length: 20 }, () => ground.answer(root)));
    const replies = await ground.replied(root, 20);
    assert.deepEqual(counts(replies), upTo(20));
    assert.equal(new Set(replies.map((reply) => at(reply, 'message_id'))).size, 20);
  });

  it('knows an answer by what it quotes, and none by its subject', async () => {
    const root = await ground.track('Quoted');
    const raw = await ground.service().api('GET', `/practice/messages/${root.id}/raw`);
    const html = raw.text.slice(raw.text.indexOf('\r\n\r\n')).replaceAll('=\r\n', '').replaceAll('=3D', '=');
    await ground.put(await letter({ subject: 'RE: Quoted' }));
    await ground.put(await letter({ subject: 'AW: Quoted', html: `<p>Fine.</p><blockquote>${html}</blockquote>` }));
    await ground.replied(root, 1);
    await ground.fence();
    assert.equal(ground.repliesTo(root).length, 1);
  });

  it('keeps an automatic answer, and tells of it where that is wanted', async () => {
    const root = await ground.track('Absent');
    const automatic = { headers: { 'Auto-Submitted': 'auto-replied' } };
    await ground.answer(root, automatic);
    await ground.inThread(root, 2);
    await ground.fence();
    assert.deepEqual(ground.repliesTo(root), []);
    await ground.set({ notify_auto_replies: true });
    await ground.answer(root, automatic);
    const [reply] = await ground.replied(root, 1);
    assert.deepEqual([at(reply, 'auto_reply'), at(reply, 'reply_data.count')], [true, 1]);
    await ground.set({ notify_auto_replies: false });
  });

  it('keeps what the sender adds, and tells of it where that is wanted', async () => {
    const root = await ground.track('Addition');
    const owner = String((await api('GET', `/v3/grants/${ground.grant()}`))('data.email'));
    await ground.answer(root, { from: owner });
    await ground.inThread(root, 2);
    const body = { to: [{ email: KIM }], subject: 'Re: Addition', body: 'P.S.', reply_to_message_id: root.id };
    await api('POST', `/v3/grants/${ground.grant()}/messages/send`, body);
    await ground.inThread(root, 3);
    await ground.fence();
    assert.deepEqual(ground.repliesTo(root), []);
    await ground.set({ notify_self_replies: true });
    await ground.answer(root, { from: owner });
    const [reply] = await ground.replied(root, 1);
    assert.deepEqual([at(reply, 'from_self'), at(reply, 'reply_data.count')], [true, 1]);
    await ground.set({ notify_self_replies: false });
  });

  it('tells of a mail that came back for good, and keeps a warning', async () => {
    const root = await ground.track('Returned');
    await ground.put(report(root.messageId, 'delayed', '4.4.1', '450 4.4.1 Connection timed out'));
    await ground.put(report(root.messageId, 'failed', '5.1.1', '550 5.1.1 No such user'));
    const bounce = await eventually('the bounce is told', () => ground.notes('message.bounce_detected')[0]);
    assert.equal(at(bounce, 'message_id'), root.id);
    assert.equal(at(bounce, 'type'), 'mailbox_unavailable');
    assert.equal(at(bounce, 'code'), '550');
    assert.equal(at(bounce, 'bounced_addresses'), KIM);
    assert.equal(at(bounce, 'origin.id'), root.id);
    assert.equal(at(bounce, 'origin.subject'), 'Returned');
    assert.equal(`<${at(bounce, 'origin.mime_id')}>`, root.messageId);
    await ground.fence();
    assert.deepEqual(ground.repliesTo(root), []);
    assert.equal(ground.notes('message.bounce_detected').length, 1);
  });

  it('tells nobody of a mail that claims to answer a message of another grant', async () => {
    const root = await ground.track('Mine');
    const other = String((await api('POST', '/practice/grants', { email: 'other@practice.test' }))('data.id'));
    const sent = await api('POST', `/v3/grants/${other}/messages/send`, {
      to: [{ email: KIM }],
      subject: 'Theirs',
      body: 'Hello',
      tracking_options: { thread_replies: true },
    });
    const theirs = { id: String(sent('data.id')) };
    await ground.put(await letter({ inReplyTo: root.messageId, references: [root.messageId] }), other);
    await ground.answer(theirs);
    await ground.replied(theirs, 1);
    await ground.fence();
    assert.deepEqual(ground.repliesTo(root), []);
    assert.equal(ground.repliesTo(theirs).length, 1);
  });

  it('tells of what came while the service stopped', async () => {
    const root = await ground.track('Down');
    await ground.answer(root);
    await ground.restart();
    await ground.replied(root, 1);
    await ground.answer(root);
    assert.deepEqual(counts(await ground.replied(root, 2)), [1, 2]);
  });

  it('tells each answer exactly once, whenever the service is killed', async () => {
    const root = await ground.track('Killed');
    const rounds = 6;
    for (let round = 0; round < rounds; round++) {
      await Promise.all([ground.answer(root), ground.answer(root), ground.answer(root)]);
      // Each time at another moment of the work.
      await new Promise((resolve) => setTimeout(resolve, round * 40));
      await ground.kill();
    }
    const replies = await ground.replied(root, rounds * 3);
    await ground.fence();
    assert.equal(ground.repliesTo(root).length, rounds * 3);
    assert.deepEqual(counts(replies), upTo(rounds * 3));
    assert.equal(new Set(replies.map((reply) => at(reply, 'message_id'))).size, rounds * 3);
  });

  it('survives mail that is made to hurt, and tells of the answer after it within seconds', async (t) => {
    const root = await ground.track('After it');
    let count = 0;
    for (const [what, raw] of hostileMails(KIM, 'you@practice.test')) {
      const put = ground.put(raw);
      // What this mailbox does not take cannot hurt.
      await (raw.indexOf('\r\n\r\n') > 2_000_000 ? assert.rejects(put, /header size/) : put);
      const began = Date.now();
      await ground.answer(root);
      await ground.replied(root, ++count);
      t.diagnostic(`${what}: ${Date.now() - began} ms`);
      assert.ok(Date.now() - began < 10_000, `${what}: ${Date.now() - began} ms`);
    }
    assert.equal(ground.service().child.exitCode, null);
  });

  it('waits while the grant is expired and misses nothing; ends when it is deleted', async () => {
    const root = await ground.track('Expired');
    const expired = await api('POST', `/practice/grants/${ground.grant()}/expire`);
    await eventually('it is told', () => ground.notes('grant.expired')[0]);
    await ground.answer(root);
    const email = String(expired('data.email'));
    assert.equal((await api('POST', '/practice/grants', { email }))('data.id'), ground.grant());
    await ground.replied(root, 1);
    assert.equal(ground.notes('grant.expired').length, 1);

    await api('DELETE', `/v3/grants/${ground.grant()}`);
    ground.act(String((await api('POST', '/practice/grants', { email }))('data.id')));
    await ground.put(await letter({ subject: 'Re: Expired', inReplyTo: root.messageId }));
    await ground.fence();
    assert.equal(ground.repliesTo(root).length, 1);
  });
});

function report(messageId: string, action: string, status: string, diagnostic: string): Buffer {
  return Buffer.from(
    [
      'Return-Path: <>',
      'From: Mail Delivery System <MAILER-DAEMON@mail.practice.test>',
      'To: you@practice.test',
      'Subject: Undelivered Mail Returned to Sender',
      `Date: ${new Date().toUTCString().replace('GMT', '+0000')}`,
      `Message-ID: ${newMessageId('mail.practice.test')}`,
      'Auto-Submitted: auto-replied',
      'MIME-Version: 1.0',
      'Content-Type: multipart/report; report-type=delivery-status; boundary="r"',
      ...['', '--r', 'Content-Type: text/plain', '', 'This is the mail system.', ''],
      ...['--r', 'Content-Type: message/delivery-status', '', 'Reporting-MTA: dns; mail.practice.test', ''],
      ...[`Final-Recipient: rfc822; ${KIM}`, `Action: ${action}`, `Status: ${status}`],
      ...[`Diagnostic-Code: smtp; ${diagnostic}`, '', '--r', 'Content-Type: text/rfc822-headers', ''],
      ...[`Message-ID: ${messageId}`, 'Subject: Returned', '', '--r--', ''],
    ].join('\r\n'),
  );
}
