import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { type Blob, putBlob } from '../db/blobs.ts';
import { migrate } from '../db/migrate.ts';
import { uuidv7 } from '../ids.ts';
import { type MailBytes, wholeOf } from '../providers/mail-bytes.ts';
import { compose, headersOf, type MailParts, messageIdHeader, threadOf } from './compose.ts';
import { type BlobReader, blobReader } from './streamed-mail.ts';

const APP = 1;

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

let database: TestDatabase;
let reads = 0;
let reader: BlobReader;

before(async () => {
  database = await testDatabase(migrate);
  const { lines, bytes } = blobReader(database.sql, APP);
  reader = {
    bytes,
    lines(blob) {
      reads += 1;
      return lines(blob);
    },
  };
});
after(() => database.drop());

function made(mail: MailParts): Promise<Buffer> {
  return compose(mail, reader).then(wholeOf);
}

function stored(bytes: Buffer): Promise<Blob> {
  return putBlob(database.sql, APP, [bytes]);
}

describe('a composed mail', () => {
  it('is the same, byte for byte, for the same parts', async () => {
    const mail = { ...parts, attachments: [picture, report] };
    assert.deepEqual(await made(mail), await made(mail));
    assert.match((await made(mail)).toString('latin1'), /boundary="?--_NmP-[0-9a-f]{24}-Part_1/);
  });

  it('is UTF-8 in quoted-printable, in lines of at most 78 octets that end in CRLF', async () => {
    const raw = (await made({ ...parts, body: `<p>${'Grüße\n'.repeat(5)}${'long '.repeat(400)}</p>` })).toString(
      'latin1',
    );
    assert.match(raw, /Content-Transfer-Encoding: quoted-printable/);
    assert.match(raw, /Content-Type: text\/html; charset=utf-8/);
    assert.doesNotMatch(raw, /[^\r]\n|\r[^\n]/);
    assert.ok(raw.split('\r\n').every((line) => line.length <= 78));
    assert.doesNotMatch(raw, /[\u0080-\uffff]/);
  });

  it('has nothing but HTML, or nothing but text', async () => {
    const html = await PostalMime.parse(await made(parts));
    assert.deepEqual(
      [html.html?.trim(), html.headers.find(({ key }) => key === 'content-type')?.value],
      ['<p>Grüße</p>', 'text/html; charset=utf-8'],
    );
    const text = await made({ ...parts, body: '<p>Grüße</p>', isPlaintext: true });
    assert.match(text.toString(), /Content-Type: text\/plain; charset=utf-8/);
    assert.equal((await PostalMime.parse(text)).text?.trim(), '<p>Grüße</p>');
  });

  it('carries attachments of any name, inline ones beside the HTML', async () => {
    const raw = await made({ ...parts, attachments: [picture, report] });
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
    const raw = (await made({ ...parts, attachments: [attached] })).toString('latin1');
    assert.match(
      raw,
      /Content-Type: message\/rfc822[\s\S]*Content-Transfer-Encoding: 7bit[\s\S]*Subject: x\r\n\r\nbody/,
    );
  });

  it('says what it answers', async () => {
    const mail = await PostalMime.parse(await made({ ...parts, ancestors: ['<1@x>', '<2@x>'] }));
    assert.equal(mail.inReplyTo, '<2@x>');
    assert.equal(mail.references, '<1@x> <2@x>');
  });

  it('goes to an international domain under its ASCII name', async () => {
    const mail = await PostalMime.parse(await made({ ...parts, to: [{ email: 'a@bücher.example' }] }));
    assert.deepEqual(
      mail.to?.map(({ address }) => address),
      ['a@xn--bcher-kva.example'],
    );
    assert.equal(messageIdHeader('id', 'zoe@bücher.example'), '<id@xn--bcher-kva.example>');
  });

  it('shows its headers unfolded', async () => {
    const raw = await made({ ...parts, customHeaders: [{ name: 'x-long', value: 'word '.repeat(40).trim() }] });
    const headers = headersOf(raw);
    assert.equal(headers.find(({ name }) => name === 'X-Long')?.value, 'word '.repeat(40).trim());
    assert.equal(headers.find(({ name }) => name === 'Date')?.value, 'Sat, 21 Nov 2026 10:00:00 +0000');
    assert.equal(headers.find(({ name }) => name === 'Message-ID')?.value, '<id@example.com>');
  });
});

describe('a mail with stored attachments', () => {
  const MB = 1024 * 1024;
  const sizes = [0, 1, 56, 57, 58, 114, 3 * 57 * 1000, MB, MB + 1, 2 * MB + 2];

  for (const contentType of ['application/pdf', 'text/plain', 'text/html; charset=utf-8', 'image/png']) {
    it(`has the same bytes as with the attachments in memory: ${contentType}`, async () => {
      const files = sizes.map((size, at) => ({
        filename: `${at}.bin`,
        contentType,
        content: randomBytes(size),
        isInline: at % 2 === 1,
        ...(at % 2 === 1 && { contentId: `c${at}` }),
      }));
      const inMemory = await made({ ...parts, attachments: files });
      const outside = await Promise.all(files.map(async (file) => ({ ...file, content: await stored(file.content) })));
      const mail = await compose({ ...parts, attachments: outside }, reader);
      assert.ok(!Buffer.isBuffer(mail), 'lies whole in memory');
      assert.equal(mail.size, inMemory.length);
      assert.ok(inMemory.equals(await wholeOf(mail)));
      assert.ok(inMemory.equals(await wholeOf(mail)), 'the second time it is another');
      assert.deepEqual(headersOf(mail), headersOf(inMemory));
    });
  }

  it('is whole where they are small together, and where a mail is among them', async () => {
    const small = { ...report, content: await stored(randomBytes(1000)) };
    const mail: MailBytes = await compose({ ...parts, attachments: [small, small] }, reader);
    assert.ok(Buffer.isBuffer(mail));
    const letter = Buffer.from(`Subject: x\r\n\r\n${'body\r\n'.repeat(300_000)}`);
    const attached = { filename: 'm.eml', contentType: 'message/rfc822', isInline: false };
    const raw = await made({ ...parts, attachments: [{ ...attached, content: await stored(letter) }] });
    assert.ok(raw.includes(letter.subarray(0, -2)));
  });

  it('reads nothing before it is read itself, and fails where an attachment has gone', async () => {
    const gone = { ...report, content: { id: uuidv7(), size: 2 * MB, hash: '' } };
    reads = 0;
    const mail = await compose({ ...parts, attachments: [gone] }, reader);
    assert.equal(reads, 0);
    await assert.rejects(wholeOf(mail), /stored bytes have gone/);
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
