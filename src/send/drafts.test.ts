import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Sender as Ground, startSender } from '../../test/support/sender.ts';
import { readBlob } from '../db/blobs.ts';
import { ApiError } from '../errors.ts';
import type { Sender } from '../grants/senders.ts';
import { uuidv7 } from '../ids.ts';
import type { Attachment } from './compose.ts';
import { type Draft, findDraft } from './draft-rows.ts';
import { createDraft, updateDraft } from './drafts.ts';
import type { Outgoing } from './outgoing.ts';

let ground: Ground;
let sender: Sender;
before(async () => {
  ground = await startSender();
  sender = await ground.deps.senders(ground.grant.app, ground.grant.id);
});
after(async () => {
  await ground.close();
});
beforeEach(async () => {
  await ground.database.sql`delete from drafts`;
  await ground.database.sql`delete from blobs`;
});

const MAIL: Outgoing = {
  from: null,
  to: [],
  cc: [],
  bcc: [],
  replyTo: [],
  subject: '',
  body: '',
  isPlaintext: false,
  replyToMessageId: '',
  customHeaders: [],
  metadata: {},
  attachments: [],
  tracking: { opens: false, links: false, threadReplies: false, label: '' },
};

const create = (mail: Partial<Outgoing> = {}): Promise<Draft> =>
  createDraft(ground.deps, sender, { ...MAIL, ...mail }, { starred: false });
const change = (id: string, mail: Partial<Outgoing>): Promise<Draft> => updateDraft(ground.deps, sender, id, { mail });

function file(text: string): Attachment {
  return { filename: 'a', contentType: 'text/plain', content: Buffer.from(text), isInline: false };
}

async function held(): Promise<number[]> {
  const rows = await ground.database.sql<{ size: number }[]>`
    select size from blobs where keep_until is null order by size`;
  return rows.map(({ size }) => size);
}

describe('a change of a draft', () => {
  it('keeps what another one at the same time changes', async () => {
    const { id } = await create();
    const metadata = { key1: 'a' };
    const to = [{ email: 'kim@client.test' }];
    const attachments = [file('abc')];
    const changes: Partial<Outgoing>[] = [{ subject: 's' }, { body: 'b' }, { to }, { metadata }, { attachments }];
    await Promise.all(changes.map((each) => change(id, each)));
    const { mail } = (await findDraft(ground.database.sql, ground.grant, id)) ?? assert.fail();
    assert.deepEqual([mail.subject, mail.body, mail.to, mail.metadata], ['s', 'b', to, metadata]);
    assert.equal(mail.attachments.length, 1);
    const [row] = await ground.database.sql`select version, kept_version from drafts`;
    assert.deepEqual({ ...row }, { version: 6, kept_version: 0 });
  });

  it('lets go of attachments that it replaces, and of no others', async () => {
    const { id, mail } = await create({ attachments: [file('a'), file('bb')] });
    assert.deepEqual(await held(), [1, 2]);
    const [first] = mail.attachments;
    assert.ok(first);
    await change(id, { subject: 'x' });
    assert.deepEqual(await held(), [1, 2]);
    await change(id, { attachments: [file('ccc'), first] });
    assert.deepEqual(await held(), [1, 3]);
    const [{ text } = assert.fail()] = await ground.database.sql<{ text: string }[]>`
      select string_agg(encode(bytes, 'escape'), ',' order by length(bytes)) as text from blob_chunks`;
    assert.equal(text, 'a,ccc');
    await change(id, { attachments: [] });
    assert.equal((await ground.database.sql`select from blobs`).length, 0);
  });

  it('of nothing changes nothing in the mailbox', async () => {
    const { id } = await create({ subject: 'x' });
    await ground.database.sql`update drafts set kept_version = version, keep_at = null`;
    await updateDraft(ground.deps, sender, id, { mail: { subject: 'x' }, starred: true });
    const [row] = await ground.database.sql`select version, keep_at, starred from drafts`;
    assert.deepEqual({ ...row }, { version: 1, keep_at: null, starred: true });
  });

  it('is waited for by the mailbox, but not for ever', async () => {
    const { id } = await create();
    const due = async (): Promise<number> => {
      const [row] = await ground.database.sql<{ at: Date }[]>`select keep_at as at from drafts`;
      return row?.at.getTime() ?? Number.NaN;
    };
    await ground.database.sql`update drafts set keep_at = now()`;
    const first = await due();
    await change(id, { subject: '1' });
    const second = await due();
    assert.ok(second - first > 1500 && second - first < 10_000, `${second - first}`);
    for (let at = 2; at < 20; at++) await change(id, { subject: `${at}` });
    const last = await due();
    await change(id, { subject: 'last' });
    assert.equal(await due(), last);
  });

  it('does not disturb a mailbox that rests', async () => {
    const { id } = await create();
    await ground.database.sql`
      update drafts set keep_attempts = 2, keep_at = now() + interval '1 hour', claimed_until = now() + interval '1 hour'`;
    const [before] = await ground.database.sql`select keep_at from drafts`;
    await change(id, { subject: 'x' });
    assert.deepEqual((await ground.database.sql`select keep_at from drafts`)[0], before);
  });
});

describe('a draft', () => {
  it('is found by none but its grant', async () => {
    const { id } = await create();
    const other = await ground.application('production');
    assert.equal(await findDraft(ground.database.sql, other.grant, id), null);
    assert.equal(await findDraft(ground.database.sql, { ...ground.grant, id: other.grant.id }, id), null);
    assert.equal((await findDraft(ground.database.sql, ground.grant, id))?.id, id);
  });

  it('is refused where the grant has ten thousand', async () => {
    const { app, id } = ground.grant;
    await ground.database.sql`
      insert into drafts (app, id, grant_id, thread_id, mail, subject, recipients, metadata, attached)
      select ${app}, gen_random_uuid(), ${id}, 'thr_x', '{}', '', '{}', '{}', false from generate_series(1, 10000)`;
    await assert.rejects(create(), (error) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.status, /10000 drafts/.test(error.message)], [400, true]);
      return true;
    });
  });

  it('is refused where its attachments are too large together', async () => {
    const content = { id: uuidv7(), size: 13 * 1024 * 1024, hash: '' };
    const large = { ...file(''), content };
    await assert.rejects(create({ attachments: [large, large] }), /^ApiError: attachments must have at most 25 MB/);
  });

  it('is not written where an attachment has gone', async () => {
    const gone = { ...file(''), content: { id: uuidv7(), size: 3, hash: '' } };
    await assert.rejects(create({ attachments: [gone] }), /an attachment has gone/);
    assert.equal((await ground.database.sql`select from drafts`).length, 0);
  });

  it('holds what was uploaded as it is', async () => {
    const { mail } = await create({ attachments: [file('abc')] });
    const [{ content } = assert.fail()] = mail.attachments;
    const chunks: Buffer[] = [];
    for await (const chunk of readBlob(ground.database.sql, ground.grant.app, content)) chunks.push(chunk);
    assert.equal(Buffer.concat(chunks).toString(), 'abc');
  });
});
