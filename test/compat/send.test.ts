// Nylas's own Node SDK, unmodified, sends with every option; what left is parsed back.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import PostalMime, { type Email } from 'postal-mime';
import { wireId } from '../../src/ids.ts';
import { messageById } from '../../src/tracking/messages.ts';
import { ownLink, ownPixel } from '../../src/tracking/token.ts';
import { nylas } from '../support/nylas.ts';
import { type Sender, startSender, TRACKING_URL } from '../support/sender.ts';

const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=',
  'base64',
);

let sender: Sender;
before(async () => {
  sender = await startSender();
});
after(async () => {
  await sender.close();
});

/** The mail behind the id that Send Message answered, as it left. */
async function left(id: string): Promise<Email> {
  const raw = await sender.call('GET', `/practice/messages/${id}/raw`);
  assert.equal(raw.status, 200, raw.text);
  assert.equal(raw.headers.get('content-type'), 'message/rfc822');
  return await PostalMime.parse(raw.bytes);
}

describe('the Node SDK', () => {
  it('sends a tracked message with every option', async () => {
    const client = nylas({ apiKey: sender.key, apiUri: sender.url });
    const body =
      '<html><body><p>Zażółć <a href="https://example.com/a?b=1&amp;c=2">demo</a> <img src="cid:logo"></p></body></html>';
    const sent = await client.messages.send({
      identifier: sender.grant.id,
      requestBody: {
        to: [{ name: 'Kim Tównsend', email: 'kim@example.com' }, { email: 'lee@example.com' }],
        cc: [{ name: 'Copy, Carbon', email: 'cc@example.com' }],
        bcc: [{ email: 'blind@example.com' }],
        from: [{ name: 'Zoë', email: 'zoe@practice.test' }],
        replyTo: [{ name: 'Desk', email: 'desk@practice.test' }],
        subject: 'Grüße, 世界 👋',
        body,
        ...{ metadata: { key1: 'campaign', other_key: 'Größe' } }, // the API has it, the SDK's type does not
        customHeaders: [
          { name: 'X-Campaign', value: 'spring' },
          { name: 'List-Unsubscribe', value: '<https://example.com/out>' },
        ],
        attachments: [
          {
            filename: 'логотип.png',
            contentType: 'image/png',
            content: PIXEL.toString('base64'),
            contentId: 'logo',
            isInline: true,
            size: PIXEL.length,
          },
          {
            filename: 'notes.txt',
            contentType: 'text/plain',
            content: Buffer.from('Ünïcode\r\n').toString('base64'),
            size: 11,
          },
        ],
        trackingOptions: { opens: true, links: true, threadReplies: true, label: 'label with "quotes"' },
      },
    });

    const { data } = sent;
    assert.match(data.id, /^msg_[0-9a-z]{26}$/);
    assert.match(data.threadId ?? '', /^thr_[0-9a-z]{26}$/);
    assert.equal(data.grantId, sender.grant.id);
    assert.equal(data.object, 'message');
    assert.equal(data.body, body);
    assert.equal(data.snippet, 'Zażółć demo');
    assert.equal(data.subject, 'Grüße, 世界 👋');
    assert.deepEqual(data.from, [{ name: 'Zoë', email: 'zoe@practice.test' }]);
    assert.deepEqual(data.bcc, [{ email: 'blind@example.com' }]);
    assert.deepEqual(data.folders, ['SENT']);
    assert.equal(typeof data.date, 'number');
    assert.deepEqual(data.trackingOptions, {
      opens: true,
      links: true,
      threadReplies: true,
      label: 'label with "quotes"',
    });
    assert.deepEqual(
      data.attachments?.map(({ filename, contentType, size, isInline, contentId }) => ({
        filename,
        contentType,
        size,
        isInline,
        contentId,
      })),
      [
        { filename: 'логотип.png', contentType: 'image/png', size: PIXEL.length, isInline: true, contentId: 'logo' },
        { filename: 'notes.txt', contentType: 'text/plain', size: 11, isInline: false, contentId: undefined },
      ],
    );

    const mail = await left(data.id);
    assert.deepEqual(mail.from, { name: 'Zoë', address: 'zoe@practice.test' });
    assert.deepEqual(mail.to, [
      { name: 'Kim Tównsend', address: 'kim@example.com' },
      { name: '', address: 'lee@example.com' },
    ]);
    assert.deepEqual(mail.cc, [{ name: 'Copy, Carbon', address: 'cc@example.com' }]);
    assert.deepEqual(mail.replyTo, [{ name: 'Desk', address: 'desk@practice.test' }]);
    assert.equal(mail.bcc, undefined);
    assert.equal(mail.subject, 'Grüße, 世界 👋');
    assert.equal(mail.headers.find(({ key }) => key === 'x-campaign')?.value, 'spring');
    assert.match(mail.messageId ?? '', /^<[0-9a-f-]{36}@practice\.test>$/);
    assert.equal(Math.floor(Date.parse(mail.date ?? '') / 1000), data.date);

    const [logo, notes] = mail.attachments;
    assert.deepEqual(Buffer.from(new Uint8Array(logo?.content instanceof ArrayBuffer ? logo.content : [])), PIXEL);
    assert.deepEqual([logo?.filename, logo?.contentId, logo?.disposition], ['логотип.png', '<logo>', 'inline']);
    assert.deepEqual([notes?.filename, notes?.mimeType, notes?.disposition], ['notes.txt', 'text/plain', 'attachment']);

    const link = /href="([^"]+)"/.exec(mail.html ?? '')?.[1] ?? '';
    const pixel = /<img src="(https:[^"]+)"/.exec(mail.html ?? '')?.[1] ?? '';
    assert.ok(link.startsWith(`${TRACKING_URL}/c/`), link);
    const own = ownLink(sender.deps.keys, link);
    assert.equal(own?.destination, 'https://example.com/a?b=1&c=2');
    assert.equal(wireId('msg', own.identity.message), data.id);
    assert.equal(own.identity.grant, sender.grant.serial);
    assert.equal(ownPixel(sender.deps.keys, pixel)?.message, own.identity.message);

    const stored = await messageById(sender.database.sql, sender.grant.app, own.identity.message);
    assert.equal(stored?.state, 'sent');
    assert.equal(stored?.messageId, mail.messageId);
    assert.deepEqual(stored?.metadata, { key1: 'campaign', other_key: 'Größe' });
    assert.equal(stored?.label, 'label with "quotes"');
  });

  it('answers a message of ours, whose thread goes on', async () => {
    const client = nylas({ apiKey: sender.key, apiUri: sender.url });
    const send = async (replyToMessageId?: string) => {
      const requestBody = {
        to: [{ email: 'kim@example.com' }],
        subject: 'Thread',
        body: 'x',
        ...(replyToMessageId !== undefined && { replyToMessageId }),
      };
      const { data } = await client.messages.send({ identifier: sender.grant.email, requestBody });
      return { data, mail: await left(data.id) };
    };
    const first = await send();
    const second = await send(first.data.id);
    const third = await send(second.mail.messageId ?? '');
    assert.equal(second.mail.inReplyTo, first.mail.messageId);
    assert.equal(third.mail.inReplyTo, second.mail.messageId);
    assert.equal(third.mail.references, `${first.mail.messageId} ${second.mail.messageId}`);
    assert.equal(third.data.threadId, first.data.threadId);

    const foreign = await send('CAF+abc=x@mail.example.org');
    assert.equal(foreign.mail.inReplyTo, '<CAF+abc=x@mail.example.org>');
    assert.notEqual(foreign.data.threadId, first.data.threadId);
    await assert.rejects(send('18ac281f237c934b'), { statusCode: 404, message: /18ac281f237c934b/ });
  });

  it('gets headers when asked for', async () => {
    const answers = await Promise.all(
      ['include_headers', 'include_basic_headers'].map((fields) =>
        sender.call('POST', `/v3/grants/${sender.grant.id}/messages/send?fields=${fields}`, {
          to: [{ email: 'kim@example.com' }],
        }),
      ),
    );
    const names = answers.map((answer) => {
      const headers = answer.at('data.headers');
      return Array.isArray(headers) ? headers.map((header) => String(Reflect.get(Object(header), 'name'))) : [];
    });
    assert.ok(names[0]?.includes('Message-ID') && names[0].includes('From') && names[0].includes('MIME-Version'));
    assert.deepEqual(names[1], ['Message-ID']);
  });
});
