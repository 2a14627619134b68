// Answers that come while nobody looks, or are moved about: nothing is missed and nothing told twice.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ImapFlow } from 'imapflow';
import { ALICE, noDovecot } from '../support/dovecot.ts';
import { type ReplyGround, startReplyGround, type Tracked } from '../support/reply-ground.ts';
import { at, eventually } from '../support/service.ts';

const KIM = 'kim@example.com';
/** A reconnect may wait for its turn; what a killed process held is taken over when it counts as dead. */
const LATER_MS = 60_000;

describe('answers that nobody was there for, on Dovecot and Postfix', { skip: noDovecot() }, () => {
  let ground: ReplyGround;
  /** Sent before everything; answered again and again. */
  let root: Tracked;
  let answers = 0;

  before(async () => {
    ground = await startReplyGround({
      env: { TELLTALE_MAILBOX_POLL_SECONDS: '3' },
      settings: { watch_folders: ['Projects'] },
      prepare: (host) => host.withProgram(ALICE, async (program) => void (await program.mailboxCreate('Projects'))),
    });
    root = await ground.track('Root');
    await told(await ground.answer(root));
  });
  after(() => ground?.close());

  /** The next answer to the root was told, and is this one. */
  const told = async (messageId: string): Promise<unknown> => {
    const replies = await ground.replied(root, answers + 1, LATER_MS);
    const reply = replies.at(-1);
    assert.equal(replies.length, ++answers);
    assert.equal(at(reply, 'reply_data.count'), answers);
    const id = String(at(reply, 'message_id'));
    const read = await ground.service().api('GET', `/v3/grants/${ground.alice}/messages/${id}?fields=include_headers`);
    assert.equal(read.status, 200, read.text);
    assert.ok(read.text.includes(messageId.slice(1, -1)), read.text.slice(0, 2_000));
    return reply;
  };
  const idle = (): Promise<number> =>
    eventually('the mailbox is watched', async () => (await ground.host.idling(ALICE)) || undefined, LATER_MS);
  const deliver = async (address = ALICE): Promise<{ readonly messageId: string; readonly raw: Buffer }> => {
    const letter = await ground.letter({ subject: 'Re: Root', inReplyTo: root.messageId });
    await ground.host.deliver(address, letter.raw);
    return letter;
  };
  /** What a filter of another mail program does with the newest mail of the inbox. */
  const move = (messageId: string, to: string, act: 'messageMove' | 'messageCopy' = 'messageMove'): Promise<void> =>
    ground.host.withProgram(ALICE, async (program) => {
      const lock = await program.getMailboxLock('INBOX');
      try {
        const uids = await eventually('it lies in the inbox', () => search(program, messageId));
        await program[act](uids, to, { uid: true });
      } finally {
        lock.release();
      }
    });

  it('tells of an answer that came while the service was down', async () => {
    await ground.stop();
    const { messageId } = await deliver();
    await ground.start();
    await told(messageId);
  });

  it('tells of an answer to a mail that was sent just before the service went down', async () => {
    const late = await ground.track('Late');
    await ground.stop();
    await ground.answer(late);
    await ground.start();
    assert.equal(at((await ground.replied(late, 1, LATER_MS))[0], 'reply_data.count'), 1);
  });

  it('tells each answer exactly once, whenever the service is killed', async () => {
    const killed = await ground.track('Killed');
    const rounds = 5;
    for (let round = 0; round < rounds; round++) {
      const letters = [1, 2, 3].map(() => ground.letter({ subject: 'Re: Killed', inReplyTo: killed.messageId }));
      await Promise.all((await Promise.all(letters)).map(({ raw }) => ground.host.deliver(ALICE, raw)));
      // Dovecot holds the news back for half a second; each time at another moment of the work after that.
      await new Promise((resolve) => setTimeout(resolve, 450 + round * 60));
      await ground.kill();
    }
    const replies = await ground.replied(killed, rounds * 3, LATER_MS);
    await ground.fence();
    assert.equal((await ground.replied(killed, rounds * 3)).length, rounds * 3);
    const counts = replies.map((reply) => Number(at(reply, 'reply_data.count'))).sort((one, other) => one - other);
    assert.deepEqual(
      counts,
      Array.from({ length: rounds * 3 }, (_, index) => index + 1),
    );
  });

  it('goes on when the server ends the connection, with or without a word', async () => {
    await idle();
    await ground.host.kick(ALICE);
    await told((await deliver()).messageId);

    await idle();
    await ground.host.imap.stop();
    const { messageId } = await deliver();
    await ground.host.imap.start();
    await told(messageId);
  });

  it('goes on when the server dies and is started anew', async () => {
    await idle();
    await ground.host.restart();
    await told((await deliver()).messageId);
  });

  it('tells no old answer again when the mails have got new numbers, and the new ones once', async () => {
    await idle();
    await ground.host.imap.stop();
    await eventually('nobody is in the mailbox', async () =>
      (await ground.host.idling(ALICE)) === 0 ? true : undefined,
    );
    await ground.host.renumber(ALICE);
    const { messageId } = await deliver();
    await ground.host.imap.start();
    await told(messageId);
    await ground.fence();
    await told((await deliver()).messageId);
  });

  it('does the same when the service is down meanwhile', async () => {
    await ground.stop();
    await ground.host.renumber(ALICE);
    const { messageId } = await deliver();
    await ground.start();
    await told(messageId);
    await ground.fence();
  });

  it('tells of an answer that a filter moves away at once', async () => {
    await ground.host.imap.stop(); // so that the filter is quicker
    const { messageId } = await deliver();
    await move(messageId, 'Archive');
    await ground.host.imap.start();
    await told(messageId);
  });

  it('tells of an answer once that is moved after it was told, and still finds it', async () => {
    const { messageId } = await deliver();
    const id = String(at(await told(messageId), 'message_id'));
    await move(messageId, 'Archive');
    const moved = await ground.service().api('GET', `/v3/grants/${ground.alice}/messages/${id}`);
    assert.equal(moved.status, 200, moved.text);
    assert.deepEqual(moved.at('data.folders'), ['Archive']);
    await told((await deliver()).messageId);
  });

  it('tells of an answer that is filtered into a folder of the settings', async () => {
    const { messageId } = await deliver(ALICE.replace('@', '+Projects@'));
    assert.equal((await ground.host.mails(ALICE, 'Projects')).length, 1);
    const id = String(at(await told(messageId), 'message_id'));
    const read = await ground.service().api('GET', `/v3/grants/${ground.alice}/messages/${id}`);
    assert.deepEqual(read.at('data.folders'), ['Projects']);
  });

  it('tells of an answer once that lies in several folders', async () => {
    await ground.host.imap.stop();
    const { messageId, raw } = await deliver();
    await move(messageId, 'Archive', 'messageCopy');
    await ground.host.withProgram(ALICE, (program) => program.append('Projects', raw));
    await ground.host.imap.start();
    await told(messageId);
    // Delivered twice: as to two of one's addresses.
    await ground.host.deliver(ALICE, raw);
    await ground.fence();
    await told((await deliver()).messageId);
  });

  it('is told once that the password no longer works, waits, and misses nothing', async () => {
    await idle();
    await ground.host.change(ALICE, { password: 'alice-changed' });
    await Promise.all([ground.host.imap.stop(), ground.host.smtp.stop()]);
    await Promise.all([ground.host.imap.start(), ground.host.smtp.start()]);
    const expired = await eventually('the grant expires', () => ground.notes('grant.expired')[0], LATER_MS);
    assert.equal(at(expired, 'grant_id'), ground.alice);
    const grant = await ground.service().api('GET', `/v3/grants/${ground.alice}`);
    assert.equal(grant.at('data.grant_status'), 'invalid');
    const { messageId } = await deliver();

    assert.equal(await ground.connect(ALICE, { watch_folders: ['Projects'] }), ground.alice);
    await told(messageId);
    await idle();
    await told((await deliver()).messageId);
    assert.equal(ground.notes('grant.expired').length, 1);
  });

  it('leaves a mailbox at once when its grant is deleted, and tells nothing of it any more', async () => {
    const kim = await ground.connect(KIM);
    const other = await ground.track('Other', {}, kim);
    await ground.answer(other, { to: KIM });
    await ground.replied(other, 1);
    const watching = await eventually('both mailboxes are watched', async () =>
      (await ground.host.idling(KIM)) === 1 && (await ground.host.idling(ALICE)) === 1 ? true : undefined,
    );
    assert.ok(watching);

    assert.equal((await ground.service().api('DELETE', `/v3/grants/${ground.alice}`)).status, 200);
    await eventually('nobody looks any more', async () => ((await ground.host.idling(ALICE)) === 0 ? true : undefined));
    // The one by which copies were put into Sent is kept for some seconds.
    await eventually(
      'every connection is closed',
      async () => ((await ground.host.connections(ALICE)) === 0 ? true : undefined),
      20_000,
    );
    await ground.answer(root);
    await ground.answer(other, { to: KIM });
    await ground.replied(other, 2);
    assert.equal((await ground.replied(root, answers)).length, answers);
    assert.equal(
      (await ground.service().api('GET', `/v3/grants/${ground.alice}/threads/${root.threadId}`)).status,
      404,
    );

    // Connected again it is another mailbox, in which nothing is waited for.
    const again = await ground.connect(ALICE);
    assert.notEqual(again, ground.alice);
    const fresh = await ground.track('Fresh', {}, again);
    await ground.answer(root);
    await ground.answer(fresh);
    await ground.replied(fresh, 1);
    assert.equal((await ground.replied(root, answers)).length, answers);
  });

  it('told nothing twice', () => {
    const replies = ground.notes('thread.replied').map((note) => at(note, 'message_id'));
    assert.equal(new Set(replies).size, replies.length);
  });
});

async function search(program: ImapFlow, messageId: string): Promise<number[] | undefined> {
  const found = await program.search({ header: { 'message-id': messageId } }, { uid: true });
  return Array.isArray(found) && found.length > 0 ? found : undefined;
}
