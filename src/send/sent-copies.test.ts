import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { tryDueCopies } from '../../test/support/due-copies.ts';
import { type Sender, startSender, TRACKING_URL } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { dropUnheld, putBlob } from '../db/blobs.ts';
import { transaction } from '../db/transaction.ts';
import { deleteGrant, expireGrant, type Grant, saveGrant } from '../grants/grants.ts';
import { wholeOf } from '../providers/mail-bytes.ts';
import type { CopyOutcome, ImapCredentials, Provider, SentCopy } from '../providers/provider.ts';
import { linkUrl, pixelUrl } from '../tracking/token.ts';
import type { CopyCounts } from './keep-copy.ts';
import { putSentCopies, startSentCopies } from './sent-copies.ts';
import { blobReader, type ComposedMail, mailOf } from './streamed-mail.ts';
import { waitingCopy } from './waiting-copy.ts';

const SERVER = { host: 'mail.shop.test', port: 465, security: 'tls', user: 'nyla', password: 'p' } as const;
const credentials: ImapCredentials = { provider: 'imap', smtp: SERVER, imap: { ...SERVER, port: 993 } };

let sender: Sender;
let grant: Grant;
let kept: SentCopy[] = [];
let wanted = true;
/** What the mailbox answers next; the last one stays. */
let answers: CopyOutcome[] = [];
const FULL: CopyOutcome = { kind: 'full', reason: 'quota' };
let counts: CopyCounts;

before(async () => {
  sender = await startSender((deps) => {
    const imap: Provider<ImapCredentials> = {
      ...deps.providers.imap,
      send: async (_account, _credentials, mail) => ({ kind: 'sent', messageId: mail.messageId, refused: [] }),
      wantsCopy: () => wanted,
      keepCopy: async (_account, _credentials, copy) => {
        kept.push(copy);
        return (answers.length > 1 ? answers.shift() : answers[0]) ?? { kind: 'kept' };
      },
    };
    return { ...deps, providers: { ...deps.providers, imap } };
  });
});
after(async () => {
  await sender.close();
});
beforeEach(async () => {
  kept = [];
  answers = [];
  wanted = true;
  counts = { kept: 0, there: 0, retried: 0, givenUp: 0 };
  await sender.database.sql`delete from sent_copies`;
  await renew();
});

async function renew(): Promise<void> {
  const grantOf = { provider: 'imap', email: 'nyla@shop.test', credentials } as const;
  ({ grant } = await saveGrant(sender.deps, sender.grant.app, grantOf));
}

const schedule = [0, 0, 0];

async function round(): Promise<number> {
  await sender.database.sql`update sent_copies set next_attempt_at = now() where claimed_until is null`;
  return await tryDueCopies({ ...sender.deps, schedule }, counts);
}

/** As if everything had been made so many hours earlier. */
async function age(hours: number): Promise<void> {
  await sender.database.sql`update sent_copies set created_at = created_at - ${hours}::integer * interval '1 hour'`;
}

async function left(): Promise<number> {
  return (await sender.database.sql`select from sent_copies`).length;
}

async function send(body: object): Promise<string> {
  const mail = { to: [{ email: 'kim@client.test' }], subject: 'Hello', ...body };
  const answer = await sender.call('POST', `/v3/grants/${grant.id}/messages/send`, mail);
  assert.equal(answer.status, 200, answer.text);
  return String(answer.at('data.id'));
}

const MESSAGE = '019a0000-0000-7000-8000-000000000001';

async function put(raw: Buffer | ComposedMail = Buffer.from('raw')): Promise<void> {
  const copy = { app: grant.app, message: MESSAGE, grantId: grant.id, messageId: '<a@shop.test>', raw };
  await transaction(sender.database.sql, (tx) => putSentCopies(tx, [copy]));
}

describe('the copy for Sent', () => {
  it('has the Message-ID, the date and the recipients of the mail, no pixel and the links as written', async () => {
    const { keys } = sender.deps;
    const old = { app: grant.app, grant: grant.serial, message: '019a0000-0000-7000-8000-00000000000a' };
    const quoted = `<a href="${linkUrl(keys, TRACKING_URL, { ...old, link: 0 }, 'https://example.com/old')}">o</a><img src="${pixelUrl(keys, TRACKING_URL, old)}">`;
    await send({
      body: `<p><a href="https://example.com/?a=1&amp;b=2">x</a></p><blockquote>${quoted}</blockquote>`,
      bcc: [{ email: 'hidden@client.test' }],
      tracking_options: { opens: true, links: true },
    });
    assert.equal(await round(), 1);
    const mail = await PostalMime.parse(await wholeOf(kept[0]?.raw ?? Buffer.alloc(0)));
    const [stored] = await sender.database.sql`select message_id, created_at from messages order by id desc limit 1`;
    assert.equal(mail.messageId, stored?.message_id);
    assert.equal(kept[0]?.messageId, stored?.message_id);
    assert.equal(mail.html?.includes(TRACKING_URL), false, mail.html);
    assert.match(mail.html ?? '', /<a href="https:\/\/example\.com\/\?a=1&amp;b=2">x<\/a>/);
    assert.match(mail.html ?? '', /<a href="https:\/\/example\.com\/old">o<\/a><\/blockquote>/);
    assert.equal(mail.bcc?.[0]?.address, 'hidden@client.test');
    assert.ok(Math.abs(new Date(mail.date ?? '').getTime() - Date.now()) < 60_000);
    assert.equal(await left(), 0);
  });

  it('holds its large attachments until it is kept, and is none for the version before without them', async () => {
    const { sql } = sender.database;
    const attached = await putBlob(sql, grant.app, [Buffer.from('attached')]);
    const raw = mailOf([Buffer.from('Subject: a\r\n\r\n'), attached, Buffer.from('\r\n')], blobReader(sql, grant.app));
    await put(raw);
    await dropUnheld(sql, grant.app, [attached.id]);
    const [row] = await sql`select raw from sent_copies`;
    assert.deepEqual(row, { raw: null });
    const whole = 'Subject: a\r\n\r\nYXR0YWNoZWQ=\r\n';
    assert.equal(String(await waitingCopy(sql, grant.app, MESSAGE)), whole);
    assert.equal(await round(), 1);
    assert.equal(counts.kept, 1);
    assert.deepEqual([await left(), (await sql`select from blobs`).length], [0, 0]);
  });

  it('is not made where the server keeps one', async () => {
    wanted = false;
    await send({ body: '<p>x</p>' });
    assert.equal(await left(), 0);
  });

  it('is not asked for before the server had time to keep one itself', async () => {
    await send({ body: '<p>x</p>' });
    assert.equal(await tryDueCopies({ ...sender.deps, schedule }, counts), 0);
    assert.equal(await left(), 1);
  });

  it('is tried again while the mailbox is full or away, and given up when a day and a half are over', async () => {
    await put();
    answers = [{ kind: 'full', reason: 'quota' }, { kind: 'unreachable', reason: 'gone' }, FULL];
    for (let i = 0; i < 12; i++) assert.equal(await round(), 1);
    assert.deepEqual([counts.retried, counts.givenUp, await left()], [12, 0, 1]);
    await age(33);
    assert.equal(await round(), 1);
    assert.deepEqual([counts.retried, counts.givenUp, await left()], [12, 1, 0]);
  });

  it('is given up at once where the server will never take it', async () => {
    await put();
    answers = [{ kind: 'refused', reason: 'no permission' }];
    assert.equal(await round(), 1);
    assert.deepEqual([counts.givenUp, await left()], [1, 0]);
  });

  it('waits while the grant has expired, without spending tries, and goes as soon as it is renewed', async () => {
    await put();
    const { sql } = sender.database;
    assert.ok(await expireGrant(sql, grant.app, grant.id));
    assert.equal(await round(), 0);
    const [row] = await sql`select attempts from sent_copies`;
    assert.deepEqual([kept.length, row?.attempts], [0, 0]);
    await renew();
    assert.equal(await round(), 1);
    assert.deepEqual([kept.length, await left()], [1, 0]);
  });

  it('is given up where the grant stays expired for a day and a half', async () => {
    await put();
    assert.ok(await expireGrant(sender.database.sql, grant.app, grant.id));
    await age(33);
    assert.equal(await round(), 1);
    assert.deepEqual([kept.length, counts.givenUp, await left()], [0, 1, 0]);
  });

  it('goes with its grant', async () => {
    await put();
    await deleteGrant(sender.database.sql, grant.app, grant.id);
    await round();
    assert.deepEqual([kept.length, await left()], [0, 0]);
  });

  it('is kept once by several processes', async () => {
    for (let i = 0; i < 6; i++) await send({ body: `<p>${i}</p>` });
    await sender.database.sql`update sent_copies set next_attempt_at = now()`;
    const options = { ...sender.deps, pollMs: 5 };
    const workers = [startSentCopies(options), startSentCopies(options), startSentCopies(options)];
    await eventually('all copies are kept', async () => ((await left()) === 0 ? true : undefined));
    await Promise.all(workers.map((worker) => worker.close()));
    assert.equal(new Set(kept.map(({ messageId }) => messageId)).size, 6);
    assert.equal(kept.length, 6);
  });
});
