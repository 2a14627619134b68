// Nylas's own Node SDK, unmodified, reads messages and threads of the practice mailbox.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { MessageFields } from 'nylas';
import { readPracticeMail } from '../../src/grants/practice-mail.ts';
import { fromWireId } from '../../src/ids.ts';
import { foundMail } from '../support/found-mail.ts';
import { nylas } from '../support/nylas.ts';
import { sdkError } from '../support/sdk-error.ts';
import { type Sender, startSender, TRACKING_URL } from '../support/sender.ts';

let sender: Sender;
let client: ReturnType<typeof nylas>;

before(async () => {
  sender = await startSender();
  client = nylas({ apiKey: sender.key, apiUri: sender.url });
});
after(async () => {
  await sender.close();
});

const BODY = '<p>Shall we renew? <a href="https://example.com/plan">the plan</a></p>';

async function sent() {
  const { data } = await client.messages.send({
    identifier: sender.grant.id,
    requestBody: {
      to: [{ name: 'Kim', email: 'kim@example.com' }],
      cc: [{ email: 'lee@example.com' }],
      subject: 'Renewal',
      body: BODY,
      ...{ metadata: { campaign: 'spring' } },
      trackingOptions: { opens: true, links: true, threadReplies: true, label: 'renewal' },
      attachments: [{ filename: 'plan.txt', contentType: 'text/plain', content: 'cGxhbg==', size: 4 }],
    },
  });
  return data;
}

/** The reader answers, quoting what was sent; the watching of the mailbox finds it. */
async function answered(message: { readonly id: string; readonly threadId?: string }): Promise<string> {
  const reply = await sender.call('POST', `/practice/messages/${message.id}/reply`, { text: 'Gladly' });
  assert.equal(reply.status, 200, reply.text);
  const { sql } = sender.database;
  const id = fromWireId('prm', String(reply.at('data.id'))) ?? '';
  const kept = await readPracticeMail(sql, sender.grant.app, id);
  return await foundMail(sql, sender.grant, kept?.raw.toString('latin1') ?? '', {
    place: 'moved since',
    threadId: message.threadId ?? '',
    rootId: fromWireId('msg', message.id),
    receivedAt: new Date(),
  });
}

describe('reading in the official Node SDK', () => {
  it('finds a message that was sent', async () => {
    const message = await sent();
    const { data, requestId } = await client.messages.find({ identifier: sender.grant.id, messageId: message.id });
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    for (const name of ['id', 'object', 'grantId', 'threadId', 'subject', 'snippet', 'date', 'folders'] as const) {
      assert.deepEqual(data[name], message[name], name);
    }
    assert.equal(data.body?.trimEnd(), BODY);
    assert.deepEqual(data.from, [{ name: 'Practice Sender', email: 'sender@practice.test' }]);
    assert.deepEqual(data.to, [{ name: 'Kim', email: 'kim@example.com' }]);
    assert.deepEqual(Reflect.get(data, 'metadata'), { campaign: 'spring' });
    assert.deepEqual([data.unread, data.starred], [false, false]);
    const [attachment] = data.attachments ?? [];
    assert.deepEqual(
      [attachment?.filename, attachment?.contentType, attachment?.size, attachment?.isInline, attachment?.grantId],
      ['plan.txt', 'text/plain', 4, false, sender.grant.id],
    );
  });

  it('shows headers and tracking options', async () => {
    const message = await sent();
    const find = (fields: MessageFields) =>
      client.messages.find({ identifier: sender.grant.id, messageId: message.id, queryParams: { fields } });
    const { headers = [] } = (await find(MessageFields.INCLUDE_HEADERS)).data;
    const header = headers.find(({ name }) => name === 'Message-ID')?.value ?? '';
    assert.match(header, /^<.+@practice\.test>$/);
    const { trackingOptions } = (await find(MessageFields.INCLUDE_TRACKING_OPTIONS)).data;
    assert.deepEqual(trackingOptions, { opens: true, links: true, threadReplies: true, label: 'renewal' });
    const byHeader = await client.messages.find({ identifier: sender.grant.email, messageId: header });
    assert.equal(byHeader.data.id, message.id);
  });

  it('finds an answer and the thread of both', async () => {
    const message = await sent();
    const id = await answered(message);
    const answer = await client.messages.find({ identifier: sender.grant.id, messageId: id });
    assert.equal(answer.data.subject, 'Re: Renewal');
    assert.equal(answer.data.threadId, message.threadId);
    assert.deepEqual(answer.data.folders, ['INBOX']);
    assert.match(answer.data.body ?? '', /Gladly/);
    assert.match(answer.data.body ?? '', /Shall we renew\?/);
    assert.equal(answer.data.body?.includes(TRACKING_URL), false);
    const { data } = await client.threads.find({ identifier: sender.grant.id, threadId: message.threadId ?? '' });
    assert.deepEqual(data.messageIds, [message.id, id]);
    assert.equal(data.latestDraftOrMessage.id, id);
    assert.equal(data.latestDraftOrMessage.object, 'message');
    assert.equal(data.subject, 'Renewal');
    assert.equal(data.hasAttachments, true);
    assert.deepEqual(data.participants.map(({ email }) => email).sort(), [
      'kim@example.com',
      'lee@example.com',
      'sender@practice.test',
    ]);
    assert.deepEqual([...data.folders].sort(), ['INBOX', 'SENT']);
    assert.ok((data.latestMessageReceivedDate ?? 0) >= message.date);
    assert.deepEqual([data.earliestMessageDate, data.latestMessageSentDate], [message.date, message.date]);
  });

  it('says what is not there', async () => {
    const unknown = await sdkError(client.messages.find({ identifier: sender.grant.id, messageId: 'msg_unknown' }));
    assert.deepEqual([unknown.statusCode, unknown.type], [404, 'api.not_found_error']);
    assert.equal(unknown.message, 'message_id: no message "msg_unknown" was found in this grant.');
    const thread = await sdkError(client.threads.find({ identifier: sender.grant.id, threadId: 'thr_unknown' }));
    assert.equal(thread.message, 'thread_id: no thread "thr_unknown" was found in this grant.');
  });
});
