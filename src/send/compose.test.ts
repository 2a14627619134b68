import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { compose, headersOf, type MailParts, messageIdHeader, threadOf } from './compose.ts';

const parts: MailParts = {
  messageId: '<id@example.com>',
  date: new Date('2026-11-21T10:00:00.789Z'),
  from: { name: 'Zoë "Z" Ä', email: 'zoe@example.com' },
  to: [{ email: 'kim@example.com' }],
  cc: [],
  replyTo: [],
  subject: 'Subject',
  body: '<p>Grüße</p>',
  isPlaintext: false,
  attachments: [],
  customHeaders: [],
  ancestors: [],
};
const picture = {
  filename: 'a.png',
  contentType: 'image/png',
  content: Buffer.from('png'),
  isInline: true,
  contentId: 'a',
};
const report = {
  filename: 'r;"é".pdf',
  contentType: 'application/pdf',
  content: Buffer.alloc(3000, 7),
  isInline: false,
};

describe('a composed mail', () => {
  it('is the same, byte for byte, for the same parts', async () => {
    const mail = { ...parts, attachments: [picture, report] };
    assert.deepEqual(await compose(mail), await compose(mail));
    assert.match((await compose(mail)).toString('latin1'), /boundary="?--_NmP-[0-9a-f]{24}-Part_1/);
  });

  it('is UTF-8 in quoted-printable, in lines of at most 78 octets that end in CRLF', async () => {
    const raw = (await compose({ ...parts, body: `<p>${'Grüße\n'.repeat(5)}${'long '.repeat(400)}</p>` })).toString(
      'latin1',
    );
    assert.match(raw, /Content-Transfer-Encoding: quoted-printable/);
    assert.match(raw, /Content-Type: text\/html; charset=utf-8/);
    assert.doesNotMatch(raw, /[^\r]\n|\r[^\n]/);
    assert.ok(raw.split('\r\n').every((line) => line.length <= 78));
    assert.doesNotMatch(raw, /[\u0080-\uffff]/);
  });

  it('has nothing but HTML, or nothing but text', async () => {
    const html = await PostalMime.parse(await compose(parts));
    assert.deepEqual(
      [html.html?.trim(), html.headers.find(({ key }) => key === 'content-type')?.value],
      ['<p>Grüße</p>', 'text/html; charset=utf-8'],
    );
    const text = await compose({ ...parts, body: '<p>Grüße</p>', isPlaintext: true });
    assert.match(text.toString(), /Content-Type: text\/plain; charset=utf-8/);
    assert.equal((await PostalMime.parse(text)).text?.trim(), '<p>Grüße</p>');
  });

  it('carries attachments of any name, inline ones beside the HTML', async () => {
    const raw = await compose({ ...parts, attachments: [picture, report] });
    const { attachments } = await PostalMime.parse(raw);
    assert.deepEqual(
      attachments.map(({ filename, mimeType, disposition, contentId, related }) => [
        filename,
        mimeType,
        disposition,
        contentId,
        related ?? false,
      ]),
      [
        ['a.png', 'image/png', 'inline', '<a>', true],
        ['r;"é".pdf', 'application/pdf', 'attachment', undefined, false],
      ],
    );
    assert.match(raw.toString('latin1'), /multipart\/mixed[\s\S]*multipart\/related/);
  });

  it('carries an attached mail unencoded, as RFC 2046 demands', async () => {
    const attached = {
      filename: 'm.eml',
      contentType: 'message/rfc822',
      content: Buffer.from('Subject: x\r\n\r\nbody\r\n'),
      isInline: false,
    };
    const raw = (await compose({ ...parts, attachments: [attached] })).toString('latin1');
    assert.match(
      raw,
      /Content-Type: message\/rfc822[\s\S]*Content-Transfer-Encoding: 7bit[\s\S]*Subject: x\r\n\r\nbody/,
    );
  });

  it('says what it answers', async () => {
    const mail = await PostalMime.parse(await compose({ ...parts, ancestors: ['<1@x>', '<2@x>'] }));
    assert.equal(mail.inReplyTo, '<2@x>');
    assert.equal(mail.references, '<1@x> <2@x>');
  });

  it('goes to an international domain under its ASCII name', async () => {
    const mail = await PostalMime.parse(await compose({ ...parts, to: [{ email: 'a@bücher.example' }] }));
    assert.deepEqual(
      mail.to?.map(({ address }) => address),
      ['a@xn--bcher-kva.example'],
    );
    assert.equal(messageIdHeader('id', 'zoe@bücher.example'), '<id@xn--bcher-kva.example>');
  });

  it('shows its headers unfolded', async () => {
    const raw = await compose({ ...parts, customHeaders: [{ name: 'x-long', value: 'word '.repeat(40).trim() }] });
    const headers = headersOf(raw);
    assert.equal(headers.find(({ name }) => name === 'X-Long')?.value, 'word '.repeat(40).trim());
    assert.equal(headers.find(({ name }) => name === 'Date')?.value, 'Sat, 21 Nov 2026 10:00:00 +0000');
    assert.equal(headers.find(({ name }) => name === 'Message-ID')?.value, '<id@example.com>');
  });
});

describe('the thread of an answer', () => {
  it('is its parent and what the parent answered', () => {
    assert.deepEqual(threadOf([], '<1@x>'), ['<1@x>']);
    assert.deepEqual(threadOf(['<1@x>'], '<2@x>'), ['<1@x>', '<2@x>']);
  });

  it('keeps the root and the newest when it is long', () => {
    const ids = Array.from({ length: 60 }, (_, index) => `<${index}@x>`);
    const thread = threadOf(ids, '<60@x>');
    assert.deepEqual([thread.length, thread[0], thread[1], thread.at(-1)], [20, '<0@x>', '<42@x>', '<60@x>']);
  });
});
