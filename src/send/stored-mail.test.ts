import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { putBlob, readBlob } from '../db/blobs.ts';
import { migrate } from '../db/migrate.ts';
import type { Attachment } from './compose.ts';
import type { Outgoing } from './outgoing.ts';
import { blobsOf, mailFromText, mailToText, withStoredAttachments } from './stored-mail.ts';

let database: TestDatabase;
before(async () => {
  database = await testDatabase(migrate);
});
after(async () => {
  await database.drop();
});

const MAIL: Outgoing = {
  from: null,
  to: [{ email: 'kim@client.test', name: 'Kim' }],
  cc: [],
  bcc: [{ email: 'hidden@client.test' }],
  replyTo: [],
  subject: 'Grüße \ud83d',
  body: '<p>\0 \udc00 \u2028 \u{1f600}</p>',
  isPlaintext: false,
  replyToMessageId: '',
  customHeaders: [{ name: 'X-A', value: 'b' }],
  metadata: { key1: 'value', constructor: 'x' },
  attachments: [],
  tracking: { opens: true, links: false, threadReplies: false, label: 'a\0b' },
};

const file: Omit<Attachment, 'content'> = { filename: 'ä.pdf', contentType: 'application/pdf', isInline: false };

async function read(id: string, size: number): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readBlob(database.sql, 1, { id, size, hash: '' })) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('a stored mail', () => {
  it('comes back from the database as it was', async () => {
    const { sql } = database;
    const stored = await withStoredAttachments(sql, 1, MAIL);
    const [row] = await sql<{ text: string }[]>`select ${mailToText(stored)}::text as text`;
    assert.deepEqual(mailFromText(row?.text ?? ''), MAIL);
  });

  it('has its attachments in blobs: those in memory are written, the others stay', async () => {
    const { sql } = database;
    const there = await putBlob(sql, 1, [Buffer.from('there')]);
    const attachments = [
      { ...file, content: Buffer.from('first') },
      { ...file, content: there, contentId: 'logo', isInline: true },
      { ...file, content: Buffer.alloc(0) },
    ];
    const stored = mailFromText(mailToText(await withStoredAttachments(sql, 1, { ...MAIL, attachments })));
    const [first, second, third] = stored.attachments;
    assert.deepEqual(second, attachments[1]);
    assert.deepEqual({ ...first, content: null }, { ...file, content: null });
    assert.equal(await read(first?.content.id ?? '', 5), 'first');
    assert.equal(third?.content.size, 0);
    assert.deepEqual(blobsOf(stored), [first?.content.id, there.id, third?.content.id]);
  });

  it('leaves no blobs behind where one cannot be written', async () => {
    const { sql } = database;
    const before = await sql`select from blobs`;
    const attachments = [
      { ...file, content: Buffer.from('first') },
      { ...file, content: Buffer.from('second') },
    ];
    let writes = 0;
    const failing = new Proxy(sql, {
      apply: (target, self, [strings, ...values]) => {
        if (String(strings).includes('insert into blobs') && ++writes === 2) throw new Error('disk full');
        return Reflect.apply(target, self, [strings, ...values]);
      },
    });
    await assert.rejects(withStoredAttachments(failing, 1, { ...MAIL, attachments }), /disk full/);
    assert.equal((await sql`select from blobs`).length, before.length);
  });

  it('is not read from other text', () => {
    for (const text of ['{}', 'null', '{"mail":{}}', 'x']) assert.throws(() => mailFromText(text), text);
  });
});
