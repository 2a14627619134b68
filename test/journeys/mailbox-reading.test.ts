// Messages and threads read from a mailbox on Dovecot by Nylas's own Node SDK, while its owner moves and deletes mail.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { resolveGrant } from '../../src/grants/grants.ts';
import { type SentCopies, startSentCopies } from '../../src/send/sent-copies.ts';
import { ALICE, BOB, type MailHost, noDovecot, startMailHost } from '../support/dovecot.ts';
import { foundMail } from '../support/found-mail.ts';
import { imapSettings } from '../support/imap-settings.ts';
import { type Letter, newMessageId, written } from '../support/letters.ts';
import { nylas } from '../support/nylas.ts';
import { sdkError } from '../support/sdk-error.ts';
import { type Sender, startSender, TRACKING_URL } from '../support/sender.ts';
import { eventually } from '../support/service.ts';

const OFFER = '<p>Dear Bob, <a href="https://example.com/offer">look</a>.</p>';

describe('a mailbox on Dovecot that is read', { skip: noDovecot() }, () => {
  let host: MailHost;
  let sender: Sender;
  let sdk: ReturnType<typeof nylas>;
  let alice: string;

  before(async () => {
    host = await startMailHost();
    sender = await startSender((deps) => deps, { ca: host.ca });
    sdk = nylas({ apiKey: sender.key, apiUri: sender.url });
    const settings = imapSettings(host, ALICE);
    const connected = await sender.call('POST', '/v3/connect/custom', { provider: 'imap', settings });
    assert.equal(connected.status, 201, connected.text);
    alice = String(connected.at('data.id'));
  });
  after(async () => {
    await sender?.close();
    await host?.close();
  });

  const send = async () =>
    (
      await sdk.messages.send({
        identifier: alice,
        requestBody: {
          to: [{ name: 'Bob', email: BOB }],
          bcc: [{ email: 'hidden@example.com' }],
          subject: 'Offer',
          body: OFFER,
          trackingOptions: { opens: true, links: true, threadReplies: true },
          attachments: [{ filename: 'plan.txt', contentType: 'text/plain', content: 'cGxhbg==', size: 4 }],
        },
      })
    ).data;
  const find = async (messageId: string) => (await sdk.messages.find({ identifier: alice, messageId })).data;

  /** Lies in Alice's inbox, and is known as the watching of it would make it known; where it lies is not. */
  const answer = async (threadId: string, letter: Partial<Letter> = {}): Promise<string> => {
    const grant = await resolveGrant(sender.database.sql, sender.grant.app, alice);
    const raw = await written({
      from: `Bob <${BOB}>`,
      to: ALICE,
      subject: 'Re: Offer',
      messageId: newMessageId(),
      ...letter,
    });
    await host.deliver(ALICE, raw);
    return await foundMail(sender.database.sql, grant, raw.toString('latin1'), {
      place: 'unknown',
      threadId,
      receivedAt: new Date(),
    });
  };
  const uidOf = (messageId: string): Promise<number> =>
    host.withProgram(ALICE, async (program) => {
      await program.mailboxOpen('INBOX');
      const found = await program.search({ header: { 'message-id': messageId } }, { uid: true });
      const [uid] = found || [];
      assert.ok(uid !== undefined);
      return uid;
    });

  it('shows a message as it was written, before and after its copy is in Sent', async () => {
    const message = await send();
    const waiting = await find(message.id);
    const copies: SentCopies = startSentCopies(sender.deps);
    try {
      await eventually('the copy is in Sent', async () => {
        const left = await sender.database.sql`select from sent_copies`;
        return left.length === 0 ? true : undefined;
      });
    } finally {
      await copies.close();
    }
    const kept = await find(message.id);
    assert.equal(kept.body?.trimEnd(), OFFER);
    assert.deepEqual(kept.bcc, [{ name: '', email: 'hidden@example.com' }]);
    assert.deepEqual(kept.folders, ['SENT']);
    assert.equal(kept.date, message.date);
    assert.equal(kept.attachments?.[0]?.id, message.attachments?.[0]?.id);
    const rest = { body: '', attachments: [] };
    assert.deepEqual({ ...kept, ...rest }, { ...waiting, ...rest });
    assert.equal(waiting.body?.trimEnd(), OFFER);
  });

  it('shows an answer and its thread, marks nothing as read, and follows a mail that is moved until it is gone', async () => {
    const message = await send();
    const messageId = newMessageId();
    const html = '<p>Gladly</p>';
    const attachments = [{ filename: 'ä.pdf', contentType: 'application/pdf', content: 'pdf'.repeat(3000) }];
    const id = await answer(message.threadId ?? '', { messageId, html, attachments });
    const first = await find(id);
    assert.equal(first.body?.trimEnd(), html);
    assert.deepEqual([first.from, first.folders, first.unread], [[{ name: 'Bob', email: BOB }], ['INBOX'], true]);
    assert.equal(first.attachments?.[0]?.filename, 'ä.pdf');
    // A server tells the size of what is encoded: decoded it is known within 3 %.
    assert.ok(Math.abs((first.attachments[0].size ?? 0) - 9000) < 270, `${first.attachments[0].size} bytes`);
    assert.equal((await find(messageId)).id, id);

    const { data: thread } = await sdk.threads.find({ identifier: alice, threadId: message.threadId ?? '' });
    assert.deepEqual(thread.messageIds, [message.id, id]);
    assert.deepEqual(thread.latestDraftOrMessage, first);
    assert.deepEqual([thread.unread, thread.hasAttachments, thread.subject], [true, true, 'Offer']);
    assert.equal(JSON.stringify(thread).includes(TRACKING_URL), false);

    const uid = await uidOf(messageId);
    await host.withProgram(ALICE, async (program) => {
      await program.mailboxOpen('INBOX');
      await program.messageFlagsAdd([uid], ['\\Seen', '\\Flagged'], { uid: true });
      await program.mailboxCreate('Projects');
      await program.messageMove([uid], 'Projects', { uid: true });
    });
    const moved = await find(id);
    assert.deepEqual([moved.folders, moved.unread, moved.starred], [['Projects'], false, true]);
    assert.equal(moved.attachments?.[0]?.id, first.attachments?.[0]?.id);
    await host.withProgram(ALICE, async (program) => {
      await program.mailboxOpen('Projects');
      await program.messageDelete('1:*');
    });
    assert.equal((await sdkError(find(id))).statusCode, 404);
    const left = await sdk.threads.find({ identifier: alice, threadId: message.threadId ?? '' });
    assert.deepEqual(left.data.messageIds, [message.id]);
  });

  it('says so where the server is away, and where it refuses the password', async () => {
    const message = await send();
    await sender.database.sql`delete from sent_copies`;
    await host.imap.stop();
    const away = await sdkError(find(message.id));
    assert.deepEqual([away.statusCode, away.type], [503, 'api.provider_error']);
    await host.imap.start();
    await host.change(ALICE, { password: 'another-secret' });
    const refused = await sdkError(find(message.id));
    assert.deepEqual([refused.statusCode, refused.type], [403, 'api.provider_error']);
    assert.equal((await sdkError(find(message.id))).statusCode, 401);
    assert.equal((await sdk.grants.find({ grantId: alice })).data.grantStatus, 'invalid');
  });
});
