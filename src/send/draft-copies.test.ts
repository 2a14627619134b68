import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { tryDueDrafts } from '../../test/support/due-drafts.ts';
import { type Sender, startSender, TRACKING_URL } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { deleteGrant, expireGrant, type Grant, saveGrant } from '../grants/grants.ts';
import { fromWireId } from '../ids.ts';
import { wholeOf } from '../providers/mail-bytes.ts';
import type { CopyOutcome, DraftCopy, ImapCredentials, Provider } from '../providers/provider.ts';
import { linkUrl, pixelUrl } from '../tracking/token.ts';
import { startDraftCopies } from './draft-copies.ts';
import { eraseWithGrants, wakeDrafts } from './draft-queue.ts';
import type { DraftCounts } from './keep-draft.ts';

const SERVER = { host: 'mail.shop.test', port: 465, security: 'tls', user: 'nyla', password: 'p' } as const;
const credentials: ImapCredentials = { provider: 'imap', smtp: SERVER, imap: { ...SERVER, port: 993 } };

let sender: Sender;
let grant: Grant;
/** The mailbox: each draft's version. */
const mailbox = new Map<string, NonNullable<DraftCopy['version']>>();
let asked: DraftCopy[] = [];
let wanted = true;
/** What the mailbox answers next; the last one stays. */
let answers: CopyOutcome[] = [];
/** What happens while the mailbox is asked. */
let meanwhile = async (): Promise<void> => {};
let counts: DraftCounts;

const GONE: CopyOutcome = { kind: 'unreachable', reason: 'gone' };
const FULL: CopyOutcome = { kind: 'full', reason: 'quota' };

before(async () => {
  sender = await startSender((deps) => {
    const imap: Provider<ImapCredentials> = {
      ...deps.providers.imap,
      send: async (_account, _credentials, mail) => ({ kind: 'sent', messageId: mail.messageId, refused: [] }),
      wantsCopy: () => false,
      wantsDrafts: () => wanted,
      async keepDraft(_account, _access, draft) {
        asked.push(draft);
        const answer = answers.length > 1 ? answers.shift() : answers[0];
        await meanwhile();
        if (answer !== undefined) return answer;
        if (draft.version === null) mailbox.delete(draft.draft);
        else mailbox.set(draft.draft, draft.version);
        return { kind: 'kept' };
      },
    };
    return { ...deps, providers: { ...deps.providers, imap } };
  });
});
after(async () => {
  await sender.close();
});
beforeEach(async () => {
  mailbox.clear();
  asked = [];
  answers = [];
  wanted = true;
  meanwhile = async () => {};
  counts = { kept: 0, removed: 0, retried: 0, givenUp: 0 };
  await sender.database.sql`delete from drafts`;
  await sender.database.sql`delete from blobs`;
  await renew();
});

async function renew(): Promise<void> {
  const given = { provider: 'imap', email: 'nyla@shop.test', credentials } as const;
  ({ grant } = await saveGrant(sender.deps, sender.grant.app, given));
}

async function call(method: string, path = '', body?: object): Promise<string> {
  const answer = await sender.call(method, `/v3/grants/${grant.id}/drafts${path}`, body);
  assert.equal(answer.status, 200, answer.text);
  return String(answer.at('data.id'));
}

const draft = (body: object = {}): Promise<string> =>
  call('POST', '', { to: [{ email: 'kim@client.test' }], subject: 'Hello', ...body });

/** What is to be done some time is due now. */
async function round(): Promise<number> {
  await sender.database.sql`
    update drafts set keep_at = now() where claimed_until is null and keep_at is not null`;
  return await tryDueDrafts({ ...sender.deps, schedule: [60_000, 120_000] }, counts);
}

async function rows(): Promise<number> {
  return (await sender.database.sql`select from drafts`).length;
}

async function isDue(): Promise<boolean> {
  return (await sender.database.sql`select from drafts where keep_at is not null`).length > 0;
}

async function wakeUp(): Promise<void> {
  await sender.database.sql`update drafts set claimed_until = null, keep_at = now() where keep_at is not null`;
}

describe('a draft in its mailbox', () => {
  it('is what its author wrote: with blind copies and attachments, without pixel, the links as written', async () => {
    const { keys } = sender.deps;
    const old = { app: grant.app, grant: grant.serial, message: '019a0000-0000-7000-8000-00000000000a' };
    const quoted = `<a href="${linkUrl(keys, TRACKING_URL, { ...old, link: 0 }, 'https://example.com/old')}">o</a><img src="${pixelUrl(keys, TRACKING_URL, old)}">`;
    const id = await draft({
      body: `<p><a href="https://example.com/?a=1&amp;b=2">x</a></p><blockquote>${quoted}</blockquote>`,
      bcc: [{ email: 'hidden@client.test' }],
      reply_to_message_id: '<parent@example.com>',
      attachments: [{ filename: 'a.txt', content_type: 'text/plain', content: 'YWJj' }],
      tracking_options: { opens: true, links: true },
    });
    assert.equal(await round(), 1);
    const uuid = fromWireId('dft', id) ?? '';
    const version = mailbox.get(uuid) ?? assert.fail();
    const mail = await PostalMime.parse(await wholeOf(version.raw));
    assert.deepEqual([mail.messageId, version.messageId], [`<${uuid}.1@shop.test>`, `<${uuid}.1@shop.test>`]);
    assert.deepEqual(
      [mail.subject, mail.from?.address, mail.inReplyTo],
      ['Hello', grant.email, '<parent@example.com>'],
    );
    assert.deepEqual([mail.to?.[0]?.address, mail.bcc?.[0]?.address], ['kim@client.test', 'hidden@client.test']);
    assert.equal(mail.html?.includes(TRACKING_URL), false, mail.html);
    assert.match(mail.html ?? '', /<a href="https:\/\/example\.com\/\?a=1&amp;b=2">x<\/a>/);
    assert.match(mail.html ?? '', /<a href="https:\/\/example\.com\/old">o<\/a>/);
    assert.equal(mail.attachments[0]?.filename, 'a.txt');
    assert.ok(Math.abs(new Date(mail.date ?? '').getTime() - Date.now()) < 60_000);
    assert.deepEqual([counts.kept, await isDue(), await round()], [1, false, 0]);
  });

  it('may be empty, to nobody', async () => {
    await call('POST', '', {});
    assert.equal(await round(), 1);
    assert.equal(
      (await PostalMime.parse(await wholeOf([...mailbox.values()][0]?.raw ?? Buffer.of()))).subject ?? '',
      '',
    );
  });

  it('is not asked for before its author pauses', async () => {
    await draft();
    assert.equal(await tryDueDrafts({ ...sender.deps, schedule: [0] }, counts), 0);
  });

  it('follows every change, also one that comes while the mailbox is asked', async () => {
    const id = await draft();
    meanwhile = async () => {
      meanwhile = async () => {};
      await call('PUT', `/${id}`, { subject: 'meanwhile' });
    };
    await round();
    assert.equal(await isDue(), true);
    assert.equal(await round(), 1);
    const [version = assert.fail()] = mailbox.values();
    assert.equal((await PostalMime.parse(await wholeOf(version.raw))).subject, 'meanwhile');
    assert.match(version.messageId, /\.2@shop\.test>$/);
    assert.equal(await isDue(), false);
  });

  for (const [name, leave] of [
    ['deleted', (id: string) => call('DELETE', `/${id}`)],
    ['sent', (id: string) => call('POST', `/${id}`)],
  ] as const) {
    it(`leaves when it is ${name}, with its row and its attachments`, async () => {
      const id = await draft({ attachments: [{ filename: 'a', content: 'YWJj' }] });
      await round();
      assert.equal(mailbox.size, 1);
      await leave(id);
      await round();
      assert.deepEqual([mailbox.size, counts.removed, await rows()], [0, 1, 0]);
      assert.equal((await sender.database.sql`select from blobs`).length, 0);
    });

    it(`leaves when it is ${name} while the mailbox is asked`, async () => {
      const id = await draft();
      meanwhile = async () => {
        meanwhile = async () => {};
        await leave(id);
      };
      await round();
      await round();
      assert.deepEqual([mailbox.size, await rows()], [0, 0]);
    });

    it(`never comes into the mailbox when it is ${name} at once`, async () => {
      await leave(await draft());
      await round();
      assert.deepEqual([asked.length, await rows()], [0, 0]);
    });

    it(`is looked for where a try before it was ${name} may have put it`, async () => {
      const id = await draft();
      answers = [GONE];
      await round();
      await wakeUp();
      answers = [];
      await leave(id);
      await wakeUp();
      await round();
      assert.deepEqual([asked.length, asked.at(-1)?.version, await rows()], [2, null, 0]);
    });
  }

  it('is nowhere where the mailbox has no place for drafts, and nothing is left to do', async () => {
    wanted = false;
    const id = await draft();
    await round();
    assert.deepEqual([asked.length, await isDue()], [0, false]);
    await call('DELETE', `/${id}`);
    await round();
    assert.deepEqual([asked.length, await rows()], [0, 0]);
  });
});

describe('a mailbox that does not take a draft', () => {
  it('is tried again after a while, all its drafts together, and not because of a change', async () => {
    const id = await draft();
    await draft();
    answers = [GONE];
    assert.equal(await round(), 1);
    await call('PUT', `/${id}`, { subject: 'changed' });
    assert.deepEqual([await round(), asked.length, counts.retried], [0, 1, 1]);
    answers = [];
    await wakeUp();
    assert.deepEqual([await round(), await round(), await round(), mailbox.size], [1, 1, 0, 2]);
  });

  it('because it is full is tried again for that draft alone', async () => {
    await draft();
    await draft();
    answers = [FULL, { kind: 'kept' }];
    await round();
    assert.equal(await round(), 1);
    assert.deepEqual([counts.retried, counts.kept], [1, 1]);
  });

  it('for good is not asked before the draft changes', async () => {
    const id = await draft();
    answers = [{ kind: 'refused', reason: 'no permission' }];
    await round();
    assert.deepEqual([counts.givenUp, await isDue(), await rows()], [1, false, 1]);
    answers = [];
    await call('PUT', `/${id}`, { subject: 'changed' });
    await round();
    assert.equal(mailbox.size, 1);
  });

  it('is given up for one that is to leave it after a day and a half', async () => {
    const id = await draft();
    await round();
    await call('DELETE', `/${id}`);
    answers = [GONE];
    await round();
    assert.equal(await rows(), 1);
    await sender.database.sql`update drafts set updated_at = updated_at - interval '34 hours'`;
    await wakeUp();
    await round();
    assert.deepEqual([counts.givenUp, await rows()], [1, 0]);
  });

  it('is left alone while the grant has expired, and served when that is renewed', async () => {
    await draft();
    assert.ok(await expireGrant(sender.database.sql, grant.app, grant.id));
    await round();
    await wakeDrafts(sender.database.sql, 'first');
    assert.deepEqual([asked.length, await round()], [0, 0]);
    await renew();
    await wakeDrafts(sender.database.sql, 'often');
    assert.deepEqual([await round(), mailbox.size], [1, 1]);
  });

  it('for its attachment has gone is not asked, and takes the others', async () => {
    await draft({ attachments: [{ filename: 'a', content: 'YWJj' }] });
    await sender.database.sql`delete from blobs`;
    await draft();
    assert.deepEqual([await round(), await round(), await round()], [1, 1, 0]);
    assert.deepEqual([mailbox.size, asked.length, counts.givenUp], [1, 1, 1]);
  });
});

describe('the drafts of a deleted grant', () => {
  it('are erased, with their attachments, whether they stand in the mailbox or not', async () => {
    const other = sender.grant;
    await sender.call('POST', `/v3/grants/${other.id}/drafts`, {});
    await draft({ attachments: [{ filename: 'a', content: 'YWJj' }] });
    await round();
    await draft({ attachments: [{ filename: 'a', content: 'YWJj' }] });
    await deleteGrant(sender.database.sql, grant.app, grant.id);
    await eraseWithGrants(sender.database.sql, 'of late');
    assert.deepEqual([await rows(), (await sender.database.sql`select from blobs`).length], [1, 0]);
    const [left] = await sender.database.sql`select grant_id from drafts`;
    assert.equal(left?.grant_id, other.id);
  });

  it('are found also when nobody looked for long', async () => {
    for (let at = 0; at < 3; at++) await draft();
    await deleteGrant(sender.database.sql, grant.app, grant.id);
    await sender.database.sql`update grants set deleted_at = now() - interval '1 day' where state = 'deleted'`;
    await eraseWithGrants(sender.database.sql, 'of late');
    assert.equal(await rows(), 3);
    await eraseWithGrants(sender.database.sql, 'all');
    assert.equal(await rows(), 0);
  });
});

describe('the workers', () => {
  it('work off many mailboxes by themselves, each draft once, also two of them', async () => {
    const ids: string[] = [];
    for (let at = 0; at < 6; at++) {
      const given = { provider: 'imap', email: `box${at}@shop.test`, credentials } as const;
      ({ grant } = await saveGrant(sender.deps, sender.grant.app, given));
      for (let nth = 0; nth < 3; nth++) ids.push(await draft());
    }
    await sender.database.sql`update drafts set keep_at = now()`;
    const workers = [0, 1].map(() => startDraftCopies({ ...sender.deps, pollMs: 50 }));
    await eventually('all stand in their mailboxes', () => (mailbox.size === ids.length ? true : undefined));
    await Promise.all(workers.map((worker) => worker.close()));
    assert.equal(asked.length, ids.length);
    assert.equal(
      workers.reduce((sum, worker) => sum + worker.counts.kept, 0),
      ids.length,
    );
    assert.equal(await isDue(), false);
  });

  it('stop without waiting for a mailbox that says nothing', async () => {
    await draft();
    await sender.database.sql`update drafts set keep_at = now()`;
    meanwhile = () => new Promise(() => {});
    const workers = startDraftCopies({ ...sender.deps, pollMs: 50 });
    await eventually('it is asked', () => asked[0]);
    await workers.close();
    const [row] = await sender.database.sql`select claimed_until, keep_at <= now() as due from drafts`;
    assert.deepEqual({ ...row }, { claimed_until: null, due: true });
  });
});
