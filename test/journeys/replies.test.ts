// Answers to tracked mail on Dovecot and Postfix: which are told, of which message, how often, and which never.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ALICE, BOB, noDovecot } from '../support/dovecot.ts';
import { hostileMails, newMessageId } from '../support/letters.ts';
import { type ReplyGround, startReplyGround, type Tracked } from '../support/reply-ground.ts';
import { at, eventually } from '../support/service.ts';

const KIM = 'kim@example.com';

describe('replies on Dovecot and Postfix', { skip: noDovecot() }, () => {
  let ground: ReplyGround;
  let offer: Tracked;
  let firstReply: string;
  /** How many replies to each message were to be told in the end. */
  const expected = new Map<string, number>();

  before(async () => {
    ground = await startReplyGround();
  });
  after(() => ground?.close());

  const replied = async (root: Tracked, count: number, forMs?: number): Promise<readonly unknown[]> => {
    expected.set(root.id, count);
    return await ground.replied(root, count, forMs);
  };

  it('tells of an answer while it waits in IDLE, in the shape of the page', async () => {
    offer = await ground.track('Offer', {
      trackingOptions: { opens: false, links: false, threadReplies: true, label: 'spring' },
    });
    await eventually('the mailbox is watched', async () => (await ground.host.idling(ALICE)) || undefined, 30_000);
    const began = Date.now();
    firstReply = await ground.answer(offer, { text: 'Yes, please.' });
    const [reply] = await replied(offer, 1);
    const took = Date.now() - began;

    assert.deepEqual(
      { ...Object(reply), message_id: 'msg_…', timestamp: 0, sender_app_id: '', thread_id: at(reply, 'thread_id') },
      {
        object: 'thread',
        grant_id: ground.alice,
        message_id: 'msg_…',
        root_message_id: offer.id,
        reply_to_message_id: offer.id,
        from_self: false,
        auto_reply: false,
        label: 'spring',
        reply_data: { count: 1 },
        sender_app_id: '',
        thread_id: offer.threadId,
        timestamp: 0,
      },
    );
    assert.match(String(at(reply, 'message_id')), /^msg_/);
    assert.ok(Math.abs(Number(at(reply, 'timestamp')) * 1000 - began) < 5_000, String(at(reply, 'timestamp')));
    const note: unknown = JSON.parse(String(ground.webhook.deliveries.at(-1)?.body));
    assert.equal(at(note, 'type'), 'thread.replied');
    assert.equal(at(note, 'source'), '/com/nylas/tracking');
    assert.equal(at(note, 'specversion'), '1.0');
    assert.equal(at(note, 'data.grant_id'), ground.alice);
    assert.equal(at(note, 'data.application_id'), at(reply, 'sender_app_id'));
    assert.equal(at(note, 'webhook_delivery_attempt'), 1);
    assert.ok(took < 10_000, `${took} ms from the reader's program to the receiver`);
  });

  it('names a message and a thread that Nylas’s own SDK finds', async () => {
    const [reply] = await ground.replied(offer, 1);
    const { data: message } = await ground.sdk.messages.find({
      identifier: ground.alice,
      messageId: String(at(reply, 'message_id')),
    });
    assert.equal(message.id, at(reply, 'message_id'));
    assert.equal(message.threadId, offer.threadId);
    assert.equal(message.subject, 'Re: Offer');
    assert.deepEqual(
      message.from?.map(({ email }) => email),
      [BOB],
    );
    assert.match(String(message.body), /Yes, please\./);
    assert.deepEqual(message.folders, ['INBOX']);

    const { data: root } = await ground.sdk.messages.find({ identifier: ground.alice, messageId: offer.id });
    assert.equal(root.subject, 'Offer');
    const { data: thread } = await ground.sdk.threads.find({ identifier: ground.alice, threadId: offer.threadId });
    assert.equal(thread.id, offer.threadId);
    assert.deepEqual([...(thread.messageIds ?? [])].sort(), [offer.id, message.id].sort());
  });

  it('counts an answer to the answer for the same message, though it names that one alone', async () => {
    const second = await ground.answer({ messageId: firstReply, subject: 'Offer' }, { text: 'And one more thing.' });
    const replies = await replied(offer, 2);
    assert.equal(at(replies[1], 'reply_data.count'), 2);
    assert.equal(at(replies[1], 'reply_to_message_id'), at(replies[0], 'message_id'));
    assert.notEqual(at(replies[1], 'message_id'), at(replies[0], 'message_id'));

    await ground.answer({ messageId: second, subject: 'Offer' }, { references: [newMessageId(), second] });
    assert.equal(at((await replied(offer, 3))[2], 'reply_data.count'), 3);
  });

  it('counts for the nearest of two tracked messages in one thread', async () => {
    const plan = await ground.track('Plan');
    const question = await ground.answer(plan);
    const [first] = await replied(plan, 1);
    const second = await ground.track('Re: Plan', { replyToMessageId: String(at(first, 'message_id')) });
    assert.equal(second.threadId, plan.threadId);

    await ground.answer(second, { references: [plan.messageId, question, second.messageId] });
    const [toSecond] = await replied(second, 1);
    assert.equal(at(toSecond, 'reply_data.count'), 1);
    assert.equal(at(toSecond, 'reply_to_message_id'), second.id);
    // Without In-Reply-To the last of References is the nearest.
    const { raw } = await ground.letter({ subject: 'Re: Plan', references: [plan.messageId, second.messageId] });
    await ground.host.submit(BOB, [ALICE], raw);
    await replied(second, 2);
    await ground.answer(plan);
    assert.equal(at((await replied(plan, 2))[1], 'reply_data.count'), 2);
  });

  it('tells twenty answers of one second one by one, and counts them without a gap', async (t) => {
    const poll = await ground.track('Poll');
    const letters = await Promise.all(
      Array.from({ length: 20 }, () =>
        ground.letter({ subject: 'Re: Poll', inReplyTo: poll.messageId, references: [poll.messageId] }),
      ),
    );
    const began = Date.now();
    await Promise.all(letters.map(({ raw }) => ground.host.deliver(ALICE, raw)));
    t.diagnostic(`delivered within ${Date.now() - began} ms`);
    const replies = await replied(poll, 20);
    t.diagnostic(`told within ${Date.now() - began} ms`);
    const counts = replies.map((reply) => Number(at(reply, 'reply_data.count'))).sort((one, other) => one - other);
    assert.deepEqual(
      counts,
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    assert.equal(new Set(replies.map((reply) => at(reply, 'message_id'))).size, 20);
    assert.equal((await ground.inThread(poll, 21)).length, 21);
  });

  it('knows an answer by what it quotes alone, where a server has rewritten the ids', async () => {
    const renewal = await ground.track('Renewal', {
      body: '<p>See <a href="https://example.com/renewal">the renewal</a></p>',
      trackingOptions: { opens: true, links: true, threadReplies: true },
    });
    const html = `<div>Fine with me.</div><div id="appendonsend"></div><hr><div>${renewal.html}</div>`;
    const outlook = '<AM0PR04MB1234567890@AM0PR04MB1234.eurprd04.prod.outlook.com>';
    const { raw } = await ground.letter({ subject: 'RE: Renewal', html, inReplyTo: outlook, references: [outlook] });
    await ground.host.submit(BOB, [ALICE], raw);
    assert.equal(at((await replied(renewal, 1))[0], 'reply_data.count'), 1);

    const renamed = await ground.letter({ subject: 'Your mail of Tuesday', html, inReplyTo: outlook });
    await ground.host.submit(BOB, [ALICE], renamed.raw);
    assert.equal(at((await replied(renewal, 2))[1], 'reply_data.count'), 2);

    const bare = await ground.letter({ subject: 'AW: Renewal', html });
    await ground.host.submit(BOB, [ALICE], bare.raw);
    assert.equal(at((await replied(renewal, 3))[2], 'reply_data.count'), 3);
  });

  it('knows nothing by the subject alone', async () => {
    const { raw } = await ground.letter({ subject: 'Re: Offer' });
    await ground.host.submit(BOB, [ALICE], raw);
    await ground.fence();
    assert.equal((await ground.replied(offer, 3)).length, 3);
  });

  it('tells nobody of a mail that claims to answer a message of another grant', async () => {
    const kim = await ground.connect(KIM);
    const secret = await ground.track('Secret', {}, kim);
    await eventually('both mailboxes are watched', async () => (await ground.host.idling(KIM)) || undefined, 30_000);
    const forged = {
      subject: 'Re: Secret',
      inReplyTo: secret.messageId,
      references: [offer.messageId, secret.messageId],
    };
    const { raw } = await ground.letter({ ...forged, references: [secret.messageId], html: secret.html });
    await ground.host.submit(BOB, [ALICE], raw);
    const mixed = await ground.letter(forged);
    await ground.host.submit(BOB, [ALICE], mixed.raw);
    // What is left of the second one is an answer to the message of this grant.
    await replied(offer, 4);
    await ground.fence();
    await ground.answer(secret, { to: KIM });
    const [told] = await replied(secret, 1);
    assert.equal(at(told, 'grant_id'), kim);
    assert.equal(at(told, 'reply_data.count'), 1);
    assert.equal((await ground.inThread(secret, 2)).length, 2);

    // An answer to all lies in both mailboxes.
    const toAll = await ground.letter({ subject: 'Re: Offer', inReplyTo: offer.messageId });
    await ground.host.submit(BOB, [ALICE, KIM], toAll.raw);
    await replied(offer, 5);
    await ground.answer(secret, { to: KIM });
    await replied(secret, 2);
  });

  it('does not take for an answer what the sender sent to oneself', async () => {
    const note = await ground.track('Note to self', { to: [{ email: ALICE }] });
    await ground.fence();
    assert.deepEqual(await ground.replied(note, 0), []);
    await ground.answer(note);
    assert.equal(at((await replied(note, 1))[0], 'reply_data.count'), 1);
    assert.equal((await ground.inThread(note, 2)).length, 2);
  });

  it('survives mail that is made to hurt, and tells of the answer after it within seconds', async (t) => {
    for (const [what, raw] of hostileMails(BOB, ALICE)) {
      const page = await ground.track(`After ${what}`);
      await ground.host.deliver(ALICE, raw);
      const began = Date.now();
      await ground.answer(page);
      await replied(page, 1);
      const took = Date.now() - began;
      t.diagnostic(`${what}: ${took} ms`);
      assert.ok(took < 10_000, `${what}: ${took} ms`);
    }
    assert.equal(ground.service().child.exitCode, null);
    assert.equal((await ground.service().api('GET', '/v3/grants')).status, 200);
  });

  it('survives the same mails when they answer one', async () => {
    const page = await ground.track('Hostile');
    for (const [, raw] of hostileMails(BOB, ALICE)) {
      const thread = Buffer.from(`In-Reply-To: ${page.messageId}\r\n`);
      await ground.host.deliver(ALICE, Buffer.concat([thread, raw]));
    }
    await ground.fence();
    // All but the report of a bounce; what tells of them may arrive after what tells of the fence.
    const told = await replied(page, hostileMails(BOB, ALICE).size - 1);
    for (const note of told) {
      const id = String(at(note, 'message_id'));
      const answer = await ground.service().api('GET', `/v3/grants/${ground.alice}/messages/${id}`);
      assert.equal(answer.status, 200, answer.text.slice(0, 300));
    }
  });

  it('told nothing else and nothing twice', async () => {
    await ground.fence();
    const told = new Map<string, number>();
    for (const note of ground.notes('thread.replied')) {
      const root = String(at(note, 'root_message_id'));
      told.set(root, (told.get(root) ?? 0) + 1);
      assert.equal(at(note, 'recents'), undefined);
    }
    for (const [root, count] of expected) assert.equal(told.get(root), count, root);
    assert.deepEqual([...told.keys()].filter((root) => !expected.has(root)).length, 1, 'the fence');
    assert.deepEqual(ground.notes('grant.expired'), []);
  });
});
