// Each option of Send Message by itself, through Nylas's own Node SDK, unmodified; what left is parsed back.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { MessageFields } from 'nylas';
import PostalMime, { decodeWords, type Email } from 'postal-mime';
import { fromWireId } from '../../src/ids.ts';
import { messageById } from '../../src/tracking/messages.ts';
import { nylas } from '../support/nylas.ts';
import { type Sender, startSender } from '../support/sender.ts';

type Sdk = ReturnType<typeof nylas>;
type Request = Parameters<Sdk['messages']['send']>[0];

let sender: Sender;
let sdk: Sdk;
before(async () => {
  sender = await startSender();
  sdk = nylas({ apiKey: sender.key, apiUri: sender.url });
});
after(async () => {
  await sender.close();
});

const MAIL = { to: [{ email: 'kim@example.com' }], subject: 'Hello', body: '<p>Hello <b>Kim</b></p>' };

/** What the SDK answered, and the mail as it left. `changes` also has what the API knows and the SDK's types do not. */
async function send(changes: object = {}, queryParams?: Request['queryParams']) {
  const answer = await sdk.messages.send({
    identifier: sender.grant.id,
    requestBody: { ...MAIL, ...changes },
    ...(queryParams && { queryParams }),
  });
  const raw = await sender.call('GET', `/practice/messages/${answer.data.id}/raw`);
  assert.equal(raw.status, 200, raw.text);
  const mail = await PostalMime.parse(raw.bytes);
  return { answer, data: answer.data, mail, raw: raw.text, warnings: Reflect.get(answer, 'warnings') };
}

function header(mail: Email, name: string): string | undefined {
  return mail.headers.find(({ key }) => key === name)?.value;
}

describe('people', () => {
  it('go to every field, as names and addresses', async () => {
    const replyTo = [{ name: 'Desk', email: 'desk@practice.test' }, { email: 'also@practice.test' }];
    const { data, mail } = await send({
      to: [{ name: 'Kim "K" O’Hara, Jr.', email: 'kim@example.com' }, { email: 'lee@bücher.example' }],
      cc: [{ name: '', email: 'cc@example.com' }],
      bcc: [{ name: 'Unseen', email: 'bcc@example.com' }],
      replyTo,
    });
    assert.deepEqual(mail.to, [
      { name: 'Kim "K" O’Hara, Jr.', address: 'kim@example.com' },
      { name: '', address: 'lee@xn--bcher-kva.example' },
    ]);
    assert.deepEqual(mail.cc, [{ name: '', address: 'cc@example.com' }]);
    assert.equal(mail.bcc, undefined);
    assert.deepEqual(
      mail.replyTo?.map(({ name, address }) => [name, address]),
      [
        ['Desk', 'desk@practice.test'],
        ['', 'also@practice.test'],
      ],
    );
    assert.deepEqual(data.replyTo, replyTo);
    assert.deepEqual(data.bcc, [{ name: 'Unseen', email: 'bcc@example.com' }]);
    assert.deepEqual(data.cc, [{ email: 'cc@example.com' }]);
  });

  it('the sender is the grant, or who `from` says', async () => {
    const plain = await send();
    assert.deepEqual(plain.mail.from, { name: sender.grant.name, address: sender.grant.email });
    assert.deepEqual(plain.data.from, [{ name: sender.grant.name, email: sender.grant.email }]);
    assert.deepEqual([plain.data.replyTo, plain.data.cc, plain.data.bcc], [[], [], []]);
    const other = await send({ from: [{ name: 'Zoë Æsir', email: 'zoe@practice.test' }] });
    assert.deepEqual(other.mail.from, { name: 'Zoë Æsir', address: 'zoe@practice.test' });
    const nameless = await send({ from: [{ email: 'zoe@practice.test' }] });
    assert.deepEqual(nameless.mail.from, { name: '', address: 'zoe@practice.test' });
  });
});

describe('the body', () => {
  it('is HTML, or plain text with is_plaintext', async () => {
    const html = await send();
    assert.match(html.mail.html ?? '', /<p>Hello <b>Kim<\/b><\/p>/);
    const text = 'Hello <b>Kim</b> & Größe\r\n.\r\nFrom me';
    const plain = await send({ body: text, isPlaintext: true });
    assert.equal(plain.mail.html, undefined);
    assert.equal(plain.mail.text?.replace(/\r?\n/g, '\n').trimEnd(), text.replaceAll('\r\n', '\n'));
    assert.match(plain.raw, /^Content-Type: text\/plain; charset=utf-8/im);
    assert.equal(plain.data.body, text);
    assert.equal(plain.warnings, undefined);
  });

  it('in plain text cannot be tracked: it is sent, and a warning says so (D24)', async () => {
    const { data, mail, warnings } = await send({
      body: 'https://example.com/',
      isPlaintext: true,
      trackingOptions: { opens: true, links: true, threadReplies: true, label: 'kept' },
    });
    assert.deepEqual(
      [warnings].flat().map((warning) => Reflect.get(Object(warning), 'type')),
      ['tracking.plaintext'],
    );
    assert.equal(typeof Reflect.get(Object(warnings[0]), 'message'), 'string');
    assert.deepEqual(data.trackingOptions, { opens: false, links: false, threadReplies: true, label: 'kept' });
    assert.equal(mail.text?.trim(), 'https://example.com/');
  });

  it('and the subject may be missing', async () => {
    const { data, mail } = await send({ subject: undefined, body: undefined });
    assert.deepEqual([data.subject, data.body, data.snippet], ['', '', '']);
    assert.equal(mail.subject ?? '', '');
  });
});

describe('headers', () => {
  it('of one’s own leave as they were written, long ones too', async () => {
    const long = `start ${'word '.repeat(60)}end`;
    const { mail } = await send({
      customHeaders: [
        { name: 'X-Plain', value: 'one: two; three' },
        { name: 'X-Unicode', value: 'Größe 世界' },
        { name: 'X-Long', value: long },
        { name: 'List-Unsubscribe-Post', value: 'List-Unsubscribe=One-Click' },
      ],
    });
    assert.equal(header(mail, 'x-plain'), 'one: two; three');
    assert.equal(decodeWords(header(mail, 'x-unicode') ?? ''), 'Größe 世界');
    assert.equal(header(mail, 'x-long')?.replace(/\s+/g, ' '), long);
    assert.equal(header(mail, 'list-unsubscribe-post'), 'List-Unsubscribe=One-Click');
  });

  it('are answered as `fields` asks for them', async () => {
    const customHeaders = [{ name: 'X-Campaign', value: 'spring' }];
    const names = async (queryParams?: Request['queryParams']): Promise<readonly string[] | undefined> =>
      (await send({ customHeaders }, queryParams)).data.headers?.map(({ name }) => name);
    assert.equal(await names(), undefined);
    assert.equal(await names({ fields: MessageFields.STANDARD }), undefined);
    const all = await names({ fields: MessageFields.INCLUDE_HEADERS });
    for (const name of ['From', 'To', 'Subject', 'Message-ID', 'Date', 'MIME-Version', 'X-Campaign']) {
      assert.ok(all?.includes(name), name);
    }
    assert.deepEqual(await names({ fields: MessageFields.INCLUDE_BASIC_HEADERS }), ['Message-ID']);
    const parent = await send();
    const { data, mail } = await send(
      { customHeaders, replyToMessageId: parent.data.id },
      { fields: MessageFields.INCLUDE_BASIC_HEADERS },
    );
    assert.deepEqual(
      new Map(data.headers?.map(({ name, value }) => [name, value])),
      new Map([
        ['Message-ID', mail.messageId],
        ['In-Reply-To', parent.mail.messageId],
        ['References', parent.mail.messageId],
      ]),
    );
  });

  it('include_tracking_options is what a send answers anyway', async () => {
    const trackingOptions = { opens: true, links: false, threadReplies: true, label: 'x' };
    for (const fields of [undefined, MessageFields.INCLUDE_TRACKING_OPTIONS]) {
      const { data } = await send({ trackingOptions }, fields === undefined ? undefined : { fields });
      assert.deepEqual(data.trackingOptions, trackingOptions);
      assert.equal(data.headers, undefined);
    }
  });
});

describe('metadata', () => {
  it('up to its limits is stored as it is and answered', async () => {
    const metadata = Object.fromEntries(
      Array.from({ length: 50 }, (_, index) => [`${'k'.repeat(38)}${index}`.slice(-40), '界'.repeat(500)]),
    );
    const { data } = await send({ metadata });
    const stored = await messageById(sender.database.sql, null, fromWireId('msg', data.id) ?? '');
    assert.deepEqual(stored?.metadata, metadata);
    assert.equal(Object.keys(data.metadata ?? {}).length, 50);
  });

  it('has keys of any shape on the way in', async () => {
    const metadata = { key1: 'a', camelCase: 'b', snake_case: 'c', 'with space': 'd', '': 'e', __a__: 'f', 'ü.1': '' };
    const { data } = await send({ metadata });
    const stored = await messageById(sender.database.sql, null, fromWireId('msg', data.id) ?? '');
    assert.deepEqual(stored?.metadata, metadata);
  });
});

describe('reply_to_message_id', () => {
  it('takes our id, the provider’s, and a Message-ID with brackets or without', async () => {
    const parent = await send();
    const { messageId = '' } = parent.mail;
    const stored = await messageById(sender.database.sql, null, fromWireId('msg', parent.data.id) ?? '');
    const providers = stored?.providerMessageId ?? '';
    assert.notEqual(providers, '');
    for (const replyToMessageId of [parent.data.id, providers, messageId, messageId.slice(1, -1)]) {
      const { data, mail } = await send({ replyToMessageId });
      assert.equal(mail.inReplyTo, messageId, replyToMessageId);
      assert.equal(mail.references, messageId);
      assert.equal(data.threadId, parent.data.threadId);
      assert.equal(Reflect.get(data, 'replyToMessageId'), replyToMessageId);
    }
  });

  it('takes the Message-ID of mail that we never saw, and nothing for an empty one', async () => {
    const foreign = await send({ replyToMessageId: '<CAF+abc=x@mail.example.org>' });
    assert.equal(foreign.mail.inReplyTo, '<CAF+abc=x@mail.example.org>');
    const none = await send({ replyToMessageId: '' });
    assert.equal(none.mail.inReplyTo, undefined);
  });
});

describe('attachments', () => {
  it('come as base64, as a buffer and as a stream', async () => {
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 256));
    const kinds: readonly (string | Buffer | Readable)[] = [bytes.toString('base64'), bytes, Readable.from([bytes])];
    for (const content of kinds) {
      const attachment = { filename: 'data.bin', contentType: 'application/octet-stream', content, size: 1000 };
      const { data, mail } = await send({ attachments: [attachment] });
      assert.deepEqual(contentOf(mail, 0), bytes);
      assert.deepEqual(
        data.attachments?.map(({ filename, contentType, size, isInline }) => [filename, contentType, size, isInline]),
        [['data.bin', 'application/octet-stream', 1000, false]],
      );
      assert.match(data.attachments?.[0]?.id ?? '', /^att_[0-9a-z]{26}$/);
      assert.equal(data.attachments?.[0]?.grantId, sender.grant.id);
    }
  });

  it('may be as large as the SDK sends as JSON: just below 3 MiB, a third more in base64', async () => {
    const bytes = Buffer.alloc(3 * 1024 * 1024 - 1000, 'abc');
    const { mail } = await send({
      attachments: [{ filename: 'a.bin', contentType: 'application/zip', content: bytes, size: bytes.length }],
    });
    assert.ok(contentOf(mail, 0).equals(bytes));
  });

  it('are inline by content_id, is_inline or disposition, and named where they have no name', async () => {
    const content = Buffer.from('x').toString('base64');
    const contentType = 'image/png';
    const { data, mail } = await send({
      body: '<img src="cid:logo"><img src="cid:other">',
      attachments: [
        { filename: 'a.png', contentType, content, contentId: 'logo' },
        { filename: 'b.png', contentType, content, contentId: '<other>', contentDisposition: 'inline' },
        { filename: 'c.png', contentType, content, contentId: 'kept', contentDisposition: 'attachment' },
        { filename: 'd.png', contentType, content, isInline: true },
        { content },
      ],
    });
    assert.deepEqual(
      data.attachments?.map(({ filename, contentId, isInline, contentDisposition }) => [
        filename,
        contentId,
        isInline,
        contentDisposition,
      ]),
      [
        ['a.png', 'logo', true, 'inline'],
        ['b.png', 'other', true, 'inline'],
        ['c.png', 'kept', false, 'attachment'],
        ['d.png', undefined, true, 'inline'],
        ['attachment-5', undefined, false, 'attachment'],
      ],
    );
    const left = new Map(mail.attachments.map((one) => [one.filename, [one.contentId, one.disposition]]));
    assert.deepEqual(left.get('a.png'), ['<logo>', 'inline']);
    assert.deepEqual(left.get('b.png'), ['<other>', 'inline']);
    assert.equal(left.get('c.png')?.[1], 'attachment');
    assert.equal(left.get('d.png')?.[1], 'inline');
    assert.equal(left.get('attachment-5')?.[1], 'attachment');
  });

  it('of no bytes, and an empty list', async () => {
    const empty = { filename: 'empty.txt', contentType: 'text/plain', content: '', size: 0 };
    const { data, mail } = await send({ attachments: [empty] });
    assert.equal(data.attachments?.[0]?.size, 0);
    assert.equal(contentOf(mail, 0).length, 0);
    assert.deepEqual((await send({ attachments: [] })).data.attachments, []);
  });
});

describe('members that change nothing', () => {
  it('are let through: what SDK types have and the API does not, and what says the default', async () => {
    const { data } = await send({
      starred: true,
      useDraft: false,
      folders: ['INBOX'],
      scheduleId: '',
      signatureId: null,
      cc: null,
      trackingOptions: { opens: false, links: false, threadReplies: false },
      somethingNew: { deep: [1] },
    });
    assert.deepEqual(data.trackingOptions, { opens: false, links: false, threadReplies: false, label: '' });
    assert.deepEqual(data.cc, []);
  });
});

function contentOf(mail: Email, index: number): Buffer {
  const content = mail.attachments[index]?.content;
  assert.ok(content instanceof ArrayBuffer);
  return Buffer.from(content);
}
