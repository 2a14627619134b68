// message.created: mail that arrives in a watched mailbox, told to who subscribes to it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ALICE, BOB, noDovecot } from '../support/dovecot.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { type ReplyGround, startReplyGround, type Tracked } from '../support/reply-ground.ts';
import { at, eventually } from '../support/service.ts';

describe('mail that arrives in a watched mailbox', { skip: noDovecot() }, () => {
  let ground: ReplyGround;
  let arrivals: Receiver;
  let root: Tracked;

  before(async () => {
    arrivals = await startReceiver();
    ground = await startReplyGround({
      prepare: (host) =>
        host.withProgram(ALICE, async (program) => {
          const old = 'From: <old@reader.test>\r\nSubject: There before\r\n\r\nOld\r\n';
          await program.append('INBOX', Buffer.from(old), [], new Date(Date.now() - 86_400_000));
        }),
    });
    root = await ground.track('Root');
    await ground.answer(root);
    await ground.replied(root, 1);
    const { raw } = await ground.letter({ subject: 'Nobody asked' });
    await ground.host.submit(BOB, [ALICE], raw);
    await ground.fence();
    const hook = await ground.service().api('POST', '/v3/webhooks', {
      webhook_url: arrivals.url,
      trigger_types: ['message.created'],
    });
    assert.equal(hook.status, 200, hook.text);
  });
  after(async () => {
    await ground?.close();
    await arrivals.close();
  });

  const objects = (): readonly unknown[] =>
    arrivals.deliveries.map(({ body }) => at(JSON.parse(body.toString()), 'data.object'));
  const arrived = (subject: string): Promise<unknown> =>
    eventually(`“${subject}” is told`, () => objects().find((mail) => at(mail, 'subject') === subject), 30_000);

  it('is told with its people, its body and its attachments', async () => {
    const { raw } = await ground.letter({
      subject: 'Zażółć',
      html: '<p>See the <b>list</b></p>',
      attachments: [{ filename: 'ceny.csv', contentType: 'text/csv', content: 'a;b\r\n1;2\r\n' }],
    });
    const began = Date.now();
    await ground.host.submit(BOB, [ALICE], raw);
    const mail = await arrived('Zażółć');
    const note: unknown = JSON.parse(String(arrivals.deliveries.at(-1)?.body));
    assert.equal(at(note, 'type'), 'message.created');
    assert.equal(at(note, 'source'), '/imap/emails/realtime');
    assert.equal(at(note, 'data.grant_id'), undefined);
    assert.equal(at(mail, 'grant_id'), ground.alice);
    assert.equal(at(mail, 'object'), 'message');
    assert.match(String(at(mail, 'id')), /^msg_/);
    assert.match(String(at(mail, 'thread_id')), /^thr_/);
    assert.deepEqual(at(mail, 'from'), [{ name: '', email: BOB }]);
    assert.deepEqual(at(mail, 'to'), [{ name: '', email: ALICE }]);
    assert.deepEqual([at(mail, 'cc'), at(mail, 'bcc'), at(mail, 'reply_to')], [[], [], []]);
    assert.match(String(at(mail, 'body')), /See the <b>list<\/b>/);
    assert.equal(at(mail, 'snippet'), 'See the list');
    assert.deepEqual([at(mail, 'unread'), at(mail, 'starred')], [true, false]);
    assert.deepEqual(at(mail, 'folders'), ['INBOX']);
    assert.ok(Math.abs(Number(at(mail, 'date')) * 1000 - began) < 60_000);
    const [attachment] = Object(at(mail, 'attachments'));
    assert.equal(at(attachment, 'filename'), 'ceny.csv');
    assert.equal(at(attachment, 'content_type'), 'text/csv');
    // A server says how long it is in the mail; its padding and last line end are not to be seen.
    assert.ok(Math.abs(Number(at(attachment, 'size')) - 10) <= 2, String(at(attachment, 'size')));
    assert.equal(at(attachment, 'is_inline'), false);
    assert.equal(at(attachment, 'grant_id'), ground.alice);
    assert.ok(String(at(attachment, 'id')).length > 0);

    const { data: found } = await ground.sdk.messages.find({
      identifier: ground.alice,
      messageId: String(at(mail, 'id')),
    });
    assert.equal(found.subject, 'Zażółć');
    assert.equal(found.threadId, at(mail, 'thread_id'));
    assert.equal(found.attachments?.[0]?.filename, 'ceny.csv');
  });

  it('bears the name under which its reply is told', async () => {
    await ground.answer(root, { subject: 'Re: Root, again' });
    const [, reply] = await ground.replied(root, 2);
    const mail = await arrived('Re: Root, again');
    assert.equal(at(mail, 'id'), at(reply, 'message_id'));
    assert.equal(at(mail, 'thread_id'), root.threadId);
  });

  it('is not told of what was there before, of what came before anybody subscribed, and of what the owner sends', async () => {
    await ground.track('Sent by the API');
    const { raw } = await ground.letter({ subject: 'Sent by a program', from: ALICE, to: BOB });
    await ground.host.withProgram(ALICE, (program) => program.append('Sent', raw, ['\\Seen']));
    await ground.fence();
    const subjects = objects().map((mail) => String(at(mail, 'subject')));
    assert.deepEqual(subjects.filter((subject) => subject !== 'Re: Fence').sort(), ['Re: Root, again', 'Zażółć']);
  });

  it('is told once: not again when the service starts or the mails are numbered anew', async () => {
    await ground.stop();
    await ground.host.renumber(ALICE);
    const { raw } = await ground.letter({ subject: 'While nobody looked' });
    await ground.host.submit(BOB, [ALICE], raw);
    await ground.host.mails(ALICE);
    await ground.start();
    await arrived('While nobody looked');
    await ground.fence();
    const told = objects();
    assert.equal(new Set(told.map((mail) => at(mail, 'id'))).size, told.length);
    for (const subject of ['Zażółć', 'Re: Root, again', 'While nobody looked']) {
      assert.equal(told.filter((mail) => at(mail, 'subject') === subject).length, 1, subject);
    }
    assert.ok(!told.some((mail) => at(mail, 'subject') === 'There before'));
  });
});
