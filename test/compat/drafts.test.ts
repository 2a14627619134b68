// Nylas's own Node SDK, unmodified, writes, finds, changes and sends drafts.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import {
  bytesOfAttachment,
  type CompatGround,
  headerOf,
  type Sdk,
  startCompatGround,
} from '../support/compat-ground.ts';
import { type DraftCalls, type DraftChanges, draftCalls, KIM, MAIL } from '../support/draft-calls.ts';
import { sdkError } from '../support/sdk-error.ts';

let ground: CompatGround;
let sdk: Sdk;
let create: DraftCalls['create'];
let find: DraftCalls['find'];
let send: DraftCalls['send'];
let update: DraftCalls['update'];
before(async () => {
  ground = await startCompatGround();
  ({ sdk } = ground);
  ({ create, find, send, update } = draftCalls(ground));
});
after(async () => {
  await ground.close();
});

const TRACKED = { opens: true, links: true, threadReplies: true, label: 'of the draft' };

const trackingOf = (draft: object): unknown => Reflect.get(draft, 'trackingOptions');

describe('a draft', () => {
  it('keeps every option, and is found as it was made', async () => {
    const notes = Buffer.from('Ünïcode\r\n');
    const requestBody = {
      to: [KIM, { email: 'lee@example.com' }],
      cc: [{ name: 'Copy, Carbon', email: 'cc@example.com' }],
      bcc: [{ email: 'blind@example.com' }],
      from: [{ name: 'Zoë', email: 'zoe@practice.test' }],
      replyTo: [{ name: 'Desk', email: 'desk@practice.test' }],
      subject: 'Grüße, 世界 👋',
      body: '<p>Zażółć <a href="https://example.com/demo">demo</a> <img src="cid:logo"></p>',
      starred: true,
      ...{ metadata: { key1: 'campaign', other_key: 'Größe' } }, // the API has it, the SDK's type does not
      customHeaders: [{ name: 'X-Campaign', value: 'spring' }],
      trackingOptions: TRACKED,
      attachments: [
        { filename: 'логотип.png', contentType: 'image/png', content: 'iVBORw0KGgo=', contentId: 'logo', size: 8 },
        { filename: 'notes.txt', contentType: 'text/plain', content: notes, size: notes.length },
        { filename: 'stream.bin', contentType: 'application/zip', content: Readable.from([notes]), size: notes.length },
      ],
    };
    const { data, requestId } = await sdk.drafts.create({ identifier: ground.email, requestBody });
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.match(data.id, /^dft_[0-9a-z]{26}$/);
    assert.match(data.threadId ?? '', /^thr_[0-9a-z]{26}$/);
    assert.equal(data.object, 'draft');
    assert.equal(data.grantId, ground.grant);
    assert.ok(Number.isInteger(data.date) && Math.abs(data.date - Date.now() / 1000) < 60);
    for (const field of ['to', 'cc', 'bcc', 'from', 'replyTo', 'subject', 'body', 'starred'] as const) {
      assert.deepEqual(data[field], requestBody[field], field);
    }
    assert.equal(data.snippet, 'Zażółć demo');
    assert.deepEqual(trackingOf(data), TRACKED);
    // The SDK turns the keys inside `data` around.
    assert.deepEqual(Reflect.get(data, 'metadata'), { key1: 'campaign', otherKey: 'Größe' });
    assert.deepEqual(
      data.attachments?.map(({ filename, contentType, size, isInline, contentId, grantId }) => [
        filename,
        contentType,
        size,
        isInline,
        contentId,
        grantId,
      ]),
      [
        ['логотип.png', 'image/png', 8, true, 'logo', ground.grant],
        ['notes.txt', 'text/plain', notes.length, false, undefined, ground.grant],
        ['stream.bin', 'application/zip', notes.length, false, undefined, ground.grant],
      ],
    );
    assert.deepEqual(await find(data.id), data);
    assert.deepEqual(await find(data.id, ground.email), data);
    const { data: list } = await sdk.drafts.list({ identifier: ground.grant });
    assert.deepEqual(
      list.find(({ id }) => id === data.id),
      data,
    );

    const { data: sent, mail } = await send(data.id);
    assert.equal(sent.object, 'message');
    assert.match(sent.id, /^msg_[0-9a-z]{26}$/);
    assert.equal(sent.threadId, data.threadId);
    assert.equal(sent.body, requestBody.body);
    assert.deepEqual(sent.trackingOptions, TRACKED);
    assert.deepEqual(mail.from, { name: 'Zoë', address: 'zoe@practice.test' });
    assert.deepEqual(
      [mail.to, mail.cc, mail.replyTo].map((people) => people?.map(({ address }) => address)),
      [['kim@example.com', 'lee@example.com'], ['cc@example.com'], ['desk@practice.test']],
    );
    assert.equal(mail.bcc, undefined);
    assert.equal(mail.subject, requestBody.subject);
    assert.equal(headerOf(mail, 'x-campaign'), 'spring');
    assert.equal(mail.html?.includes('https://example.com/demo'), false);
    assert.match(mail.html ?? '', /href="[^"]+\/c\/[^"]+"/);
    assert.match(mail.html ?? '', /<img src="http[^"]+"/);
    assert.deepEqual(bytesOfAttachment(mail, 'notes.txt'), notes);
    assert.deepEqual(bytesOfAttachment(mail, 'stream.bin'), notes);
    assert.equal(mail.attachments.find(({ filename }) => filename === 'логотип.png')?.contentId, '<logo>');
  });

  it('that was sent is gone, and cannot be sent twice', async () => {
    const { id } = await create({ subject: 'Once' });
    await send(id);
    const identifier = ground.grant;
    const works: readonly (() => Promise<unknown>)[] = [
      () => sdk.drafts.find({ identifier, draftId: id }),
      () => sdk.drafts.update({ identifier, draftId: id, requestBody: { subject: 'x' } }),
      () => sdk.drafts.send({ identifier, draftId: id }),
      () => sdk.drafts.destroy({ identifier, draftId: id }),
    ];
    for (const work of works) {
      const { statusCode, type, message } = await sdkError(work());
      assert.deepEqual([statusCode, type], [404, 'api.not_found_error'], message);
      assert.match(message, new RegExp(id));
    }
    const { data: list } = await sdk.drafts.list({ identifier });
    assert.ok(list.every((draft) => draft.id !== id));
    assert.equal((await ground.sentWith('Once')).length, 1);
  });

  it('sent by two calls at once leaves once', async () => {
    const { id } = await create({ subject: 'Twice at once' });
    const calls = [1, 2, 3].map(() => sdk.drafts.send({ identifier: ground.grant, draftId: id }));
    const settled = await Promise.allSettled(calls);
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const call of calls.filter((_, index) => settled[index]?.status === 'rejected')) {
      const { statusCode, type } = await sdkError(call);
      assert.ok([404, 409].includes(statusCode ?? 0), `${statusCode} ${type}`);
    }
    assert.equal((await ground.sentWith('Twice at once')).length, 1);
  });

  it('is deleted', async () => {
    const { id } = await create();
    const { requestId } = await sdk.drafts.destroy({ identifier: ground.grant, draftId: id });
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.equal((await sdkError(find(id))).statusCode, 404);
  });

  it('of nobody and nothing is kept, and not sent', async () => {
    const { data } = await sdk.drafts.create({ identifier: ground.grant, requestBody: Object({ subject: 'Empty' }) });
    assert.deepEqual([data.to, data.cc, data.bcc, data.replyTo, data.attachments], [[], [], [], [], []]);
    assert.equal(data.body, '');
    const error = await sdkError(sdk.drafts.send({ identifier: ground.grant, draftId: data.id }));
    assert.deepEqual([error.statusCode, error.type], [400, 'api.invalid_request_error']);
    assert.match(error.message, /\bto\b/);
    assert.equal((await find(data.id)).subject, 'Empty');
    await update(data.id, { to: [KIM] });
    assert.deepEqual(
      (await send(data.id)).mail.to?.map(({ address }) => address),
      ['kim@example.com'],
    );
  });

  it('answers a message, in its thread', async () => {
    const parent = await sdk.messages.send({ identifier: ground.grant, requestBody: MAIL });
    const { mail: asked } = await ground.left(parent.data.id);
    const draft = await create({ replyToMessageId: parent.data.id });
    const { data, mail } = await send(draft.id);
    assert.equal(mail.inReplyTo, asked.messageId);
    assert.equal(data.threadId, parent.data.threadId);
    const unknown = await sdkError(create({ replyToMessageId: '18ac281f237c934b' }));
    assert.deepEqual([unknown.statusCode, unknown.type], [404, 'api.not_found_error']);
  });

  it('stands in its thread until it is sent', async () => {
    const identifier = ground.grant;
    const parent = await sdk.messages.send({ identifier, requestBody: MAIL });
    const threadId = parent.data.threadId ?? '';
    const answer = await create({ replyToMessageId: parent.data.id, subject: 'Re: Hello' });
    const { data: thread } = await sdk.threads.find({ identifier, threadId });
    assert.deepEqual([thread.messageIds, thread.draftIds, thread.hasDrafts], [[parent.data.id], [answer.id], true]);
    assert.equal(thread.latestDraftOrMessage.object, 'draft');
    assert.equal(thread.latestDraftOrMessage.id, answer.id);
    const { data: sent } = await send(answer.id);
    const { data: later } = await sdk.threads.find({ identifier, threadId });
    assert.deepEqual([later.messageIds, later.draftIds, later.hasDrafts], [[parent.data.id, sent.id], [], false]);
    const alone = await create({ subject: 'Alone' });
    const { data: own } = await sdk.threads.find({ identifier, threadId: alone.threadId ?? '' });
    assert.deepEqual([own.messageIds, own.draftIds, own.subject], [[], [alone.id], 'Alone']);
    await sdk.drafts.destroy({ identifier, draftId: alone.id });
    assert.equal((await sdkError(sdk.threads.find({ identifier, threadId: alone.threadId ?? '' }))).statusCode, 404);
  });

  it('in plain text leaves without an HTML part', async () => {
    const { mail } = await send((await create({ body: 'plain <b>text</b>', isPlaintext: true })).id);
    assert.equal(mail.html, undefined);
    assert.equal(mail.text?.trim(), 'plain <b>text</b>');
  });

  it('without tracking leaves as it was written', async () => {
    const { data, mail } = await send((await create()).id);
    assert.equal(mail.html?.trim(), MAIL.body);
    assert.deepEqual(data.trackingOptions, { opens: false, links: false, threadReplies: false, label: '' });
  });
});

describe('a change of a draft', () => {
  it('replaces what it has and keeps the rest', async () => {
    const made = await create({ cc: [{ email: 'cc@example.com' }], starred: true, trackingOptions: TRACKED });
    const changed = await update(made.id, { subject: 'Changed', to: [{ email: 'lee@example.com' }], starred: false });
    assert.equal(changed.id, made.id);
    assert.equal(changed.subject, 'Changed');
    assert.deepEqual(changed.to, [{ email: 'lee@example.com' }]);
    assert.deepEqual([changed.cc, changed.body, changed.starred], [made.cc, made.body, false]);
    assert.deepEqual(trackingOf(changed), TRACKED);
    assert.deepEqual(await find(made.id), changed);
    assert.equal((await update(made.id, { unread: false })).subject, 'Changed');
  });

  it('merges tracking options one by one (contract 1.7)', async () => {
    const { id } = await create({ trackingOptions: TRACKED });
    const changed = await update(id, { trackingOptions: { links: false, label: 'another' } });
    const expected = { opens: true, links: false, threadReplies: true, label: 'another' };
    assert.deepEqual(trackingOf(changed), expected);
    const { data, mail } = await send(id);
    assert.deepEqual(data.trackingOptions, expected);
    assert.match(mail.html ?? '', /href="https:\/\/example\.com\/a"/);
  });

  it('replaces the whole list of attachments, or leaves it', async () => {
    const file = (filename: string) => ({
      filename,
      contentType: 'text/plain',
      content: Buffer.from(filename),
      size: 5,
    });
    const { id } = await create({ attachments: [file('a.txt'), file('b.txt')] });
    const names = async (changes: DraftChanges): Promise<unknown> =>
      (await update(id, changes)).attachments?.map(({ filename }) => filename);
    assert.deepEqual(await names({ subject: 'x' }), ['a.txt', 'b.txt']);
    assert.deepEqual(await names({ attachments: [file('c.txt')] }), ['c.txt']);
    const { mail } = await send(id);
    assert.deepEqual(bytesOfAttachment(mail, 'c.txt').toString(), 'c.txt');
    assert.equal(mail.attachments.length, 1);
    const other = await create({ attachments: [file('a.txt')] });
    assert.deepEqual((await update(other.id, { attachments: [] })).attachments, []);
  });
});
