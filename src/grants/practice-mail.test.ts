import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { accessTo, providerContract } from '../../test/support/provider-contract.ts';
import { migrate } from '../db/migrate.ts';
import { fromWireId, uuidv7 } from '../ids.ts';
import { parseKeyring } from '../keyring.ts';
import { UnreadableMail } from '../providers/mail-bytes.ts';
import { parseHead } from '../providers/mail-head.ts';
import { practiceProvider } from '../providers/practice.ts';
import { WatchBroken, type WatchedMailbox } from '../providers/watch.ts';
import { createApplication } from './applications.ts';
import { openCredentials } from './credentials.ts';
import { expireGrant, type Grant } from './grants.ts';
import {
  findPracticeMail,
  listPracticeMail,
  openPracticeGrant,
  type PracticeFolder,
  practiceInbox,
  practiceStore,
  readPracticeMail,
} from './practice-mail.ts';
import { practiceReading } from './practice-reading.ts';
import { makeVault } from './vault.ts';

const vault = makeVault(parseKeyring('a secret for tests only'));
let database: TestDatabase;
let count = 0;

before(async () => {
  database = await testDatabase(migrate);
});
after(async () => {
  await database.drop();
});

async function newGrant(email = 'sender@practice.test'): Promise<Grant> {
  count += 1;
  const application = await createApplication(database.sql, { name: `app ${count}`, environment: 'production' });
  assert.ok(application);
  const { grant } = await openPracticeGrant({ sql: database.sql, vault }, application.serial, { email });
  return grant;
}

async function credentialsOf(grant: Grant) {
  const credentials = await openCredentials({ sql: database.sql, vault }, grant.app, grant.id);
  assert.equal(credentials?.provider, 'practice');
  return credentials;
}

/** The oldest first. */
async function mailsIn(grant: Grant, folder: PracticeFolder): Promise<Buffer[]> {
  const list = await listPracticeMail(database.sql, grant.app, { folder, limit: 1000 });
  const mails: Buffer[] = [];
  for (const { id } of list.reverse()) {
    const kept = await readPracticeMail(database.sql, grant.app, id);
    if (kept !== null) mails.push(kept.raw);
  }
  return mails;
}

function accountOf(grant: Grant) {
  return { app: grant.app, grantId: grant.id, email: grant.email };
}

function mail(subject: string, size = 0) {
  const messageId = `<${subject.replaceAll(' ', '.')}@practice.test>`;
  const head = `From: "Sender, The" <sender@practice.test>\r\nTo: Team: Kim <kim@example.com>, lee@example.com;\r\nSubject: ${subject}\r\nMessage-ID: ${messageId}\r\n\r\n`;
  const raw = Buffer.concat([Buffer.from(head), Buffer.alloc(size, 0x61)]);
  const envelope = { from: 'sender@practice.test', to: ['kim@example.com', 'lee@example.com', 'hidden@example.com'] };
  return { envelope, messageId, raw };
}

providerContract('practice on its table', async () => {
  const grant = await newGrant();
  const provider = practiceProvider(practiceStore({ sql: database.sql, vault }), { lookMs: 50 });
  return {
    provider,
    account: accountOf(grant),
    credentials: await credentialsOf(grant),
    wrongCredentials: { provider: 'practice', key: 'a key of nobody' },
    delivered: () => mailsIn(grant, 'SENT'),
    arrive: async (raw) => {
      await practiceInbox({ sql: database.sql })(grant, raw);
    },
    drafts: {
      list: () => mailsIn(grant, 'DRAFTS'),
      put: async (raw) => {
        const { messageId } = parseHead(raw);
        await database.sql`
          insert into practice_messages (app, id, grant_id, folder, message_id, subject, sender, recipients, envelope, size, raw)
          values (${grant.app}, ${uuidv7()}, ${grant.id}, 'DRAFTS', ${messageId ?? ''}, '', '{}', '[]', '{}', ${raw.length}, ${raw})`;
      },
    },
    expire: async () => {
      await expireGrant(database.sql, grant.app, grant.id);
    },
  };
});

describe('practice mail', () => {
  let grant: Grant;
  beforeEach(async () => {
    grant = await newGrant();
  });

  it('is kept byte by byte, with what its list shows', async () => {
    const sent = mail('Hello');
    const id = fromWireId('prm', await practiceStore({ sql: database.sql, vault }).keepSent(accountOf(grant), sent));
    assert.ok(id);
    const kept = await readPracticeMail(database.sql, grant.app, id);
    assert.deepEqual(kept?.raw, sent.raw);
    assert.deepEqual(kept?.from, { name: 'Sender, The', email: 'sender@practice.test' });
    assert.deepEqual(kept?.to, [{ name: 'Kim', email: 'kim@example.com' }, { email: 'lee@example.com' }]);
    assert.deepEqual(kept?.envelope, sent.envelope.to);
    assert.equal(kept?.size, sent.raw.length);
    assert.equal((await findPracticeMail(database.sql, grant.app, grant.id, sent.messageId))?.id, id);
  });

  it('is put together in the database where it is read piece by piece, and leaves nothing else there', async () => {
    const sent = mail('Large', 9 * 1024 * 1024);
    const raw = {
      size: sent.raw.length,
      head: sent.raw.subarray(0, 1000),
      async *read() {
        for (let at = 0; at < sent.raw.length; at += 100_000) yield sent.raw.subarray(at, at + 100_000);
      },
    };
    const store = practiceStore({ sql: database.sql, vault });
    const id = fromWireId('prm', await store.keepSent(accountOf(grant), { ...sent, raw }));
    assert.ok(id);
    const kept = await readPracticeMail(database.sql, grant.app, id);
    assert.ok(kept?.raw.equals(sent.raw) === true);
    assert.equal(kept?.subject, 'Large');
    assert.ok((await store.read(accountOf(grant), id, null))?.raw.equals(sent.raw));
    await assert.rejects(
      store.keepSent(accountOf(grant), { ...sent, raw: { ...raw, size: raw.size + 1 } }),
      UnreadableMail,
    );
    assert.equal((await mailsIn(grant, 'SENT')).length, 1);
    for (const table of ['blobs', 'blob_chunks']) {
      assert.equal(
        (await database.sql`select 1 from ${database.sql(table)} where app = ${grant.app}`).length,
        0,
        table,
      );
    }
  });

  it('that is a draft is in no other folder, and told to nobody', async () => {
    const store = practiceStore({ sql: database.sql, vault });
    const account = accountOf(grant);
    const draft = uuidv7();
    const messageId = `<${draft}.1@practice.test>`;
    const raw = Buffer.from(`Message-ID: ${messageId}\r\nTo: kim@example.com\r\nSubject: Draft\r\n\r\nNot yet`);
    assert.equal(await store.keepDraft(account, { draft, version: { messageId, raw } }), true);
    const listed = async (folder: PracticeFolder | null) =>
      (await listPracticeMail(database.sql, grant.app, { folder, limit: 10 })).map(({ subject }) => subject);
    assert.deepEqual(await listed('DRAFTS'), ['Draft']);
    for (const folder of ['SENT', 'INBOX', null] as const) assert.deepEqual(await listed(folder), []);
    const [kept] = await listPracticeMail(database.sql, grant.app, { folder: 'DRAFTS', limit: 1 });
    assert.ok(kept);
    assert.equal((await store.later(account, 0, [], 10)).length, 0);
    assert.equal((await store.beginnings(account, [kept.id], 10)).size, 0);
    assert.equal(await store.read(account, kept.id, messageId), null);
    assert.equal(await store.findSent(account, messageId), null);
    // Of another mailbox.
    assert.equal(await store.keepDraft(accountOf(await newGrant()), { draft, version: null }), false);
    assert.deepEqual(await listed('DRAFTS'), ['Draft']);
  });

  it('is listed newest first, per folder and per application', async () => {
    const store = practiceStore({ sql: database.sql, vault });
    await store.keepSent(accountOf(grant), mail('one'));
    await store.keepSent(accountOf(grant), mail('two'));
    await practiceInbox({ sql: database.sql })(grant, mail('answer').raw);
    await store.keepSent(accountOf(await newGrant()), mail('of somebody else'));
    const subjects = async (app: number | null, folder: 'SENT' | 'INBOX' | null, limit = 10) =>
      (await listPracticeMail(database.sql, app, { folder, limit })).map(({ subject }) => subject);
    assert.deepEqual(await subjects(grant.app, null), ['answer', 'two', 'one']);
    assert.deepEqual(await subjects(grant.app, 'SENT'), ['two', 'one']);
    assert.deepEqual(await subjects(grant.app, 'INBOX'), ['answer']);
    assert.deepEqual(await subjects(null, 'SENT', 2), ['of somebody else', 'two']);
  });

  it('is capped per grant, oldest dropped', async () => {
    const store = practiceStore({ sql: database.sql, vault, limits: { perGrant: 3, bytes: 1e9 } });
    for (const subject of ['1', '2', '3', '4', '5']) await store.keepSent(accountOf(grant), mail(subject));
    const list = await listPracticeMail(database.sql, grant.app, { folder: null, limit: 10 });
    assert.deepEqual(
      list.map(({ subject }) => subject),
      ['5', '4', '3'],
    );
  });

  it('is capped in all, oldest dropped whoever it belongs to', async () => {
    await database.sql`delete from practice_messages`;
    const other = await newGrant();
    const store = practiceStore({ sql: database.sql, vault, limits: { perGrant: 100, bytes: 5000 } });
    for (const subject of ['1', '2', '3', '4']) {
      await store.keepSent(accountOf(subject === '1' ? other : grant), mail(subject, 2000));
    }
    await store.keepSent(accountOf(grant), mail('5', 2000));
    const rows = await database.sql<{ subject: string }[]>`select subject from practice_messages order by id`;
    const [sum] = await database.sql<{ bytes: string }[]>`select sum(size) as bytes from practice_messages`;
    assert.equal(rows.at(-1)?.subject, '5');
    assert.equal(rows[0]?.subject === '1', false);
    assert.ok(Number(sum?.bytes) <= 5000 + 3 * 2200, sum?.bytes);
  });

  it('is summed up once per 8 MB that an inbox took in, not for every answer', async () => {
    let sums = 0;
    // Whatever runs outside the transaction of one mail is the sum over all.
    const sql = new Proxy(database.sql, {
      apply(target, self, args) {
        sums += 1;
        return Reflect.apply(target, self, args);
      },
    });
    const receive = practiceInbox({ sql });
    for (const subject of ['1', '2', '3']) await receive(grant, mail(subject).raw);
    assert.equal(sums, 1);
    await receive(grant, mail('4', 8 * 1024 * 1024).raw);
    assert.equal(sums, 2);
  });

  it('opens for the newest key of the grant alone', async () => {
    const store = practiceStore({ sql: database.sql, vault });
    const { key: old } = await credentialsOf(grant);
    assert.equal(await store.opens(accountOf(grant), old), true);
    const renewed = await openPracticeGrant({ sql: database.sql, vault }, grant.app, { email: grant.email });
    assert.deepEqual([renewed.created, renewed.grant.id], [false, grant.id]);
    assert.equal(await store.opens(accountOf(grant), old), false);
    const { key } = await credentialsOf(grant);
    assert.equal(await store.opens(accountOf(grant), key), true);
    assert.equal(await store.opens(accountOf(await newGrant('other@practice.test')), key), false);
    await expireGrant(database.sql, grant.app, grant.id);
    assert.equal(await store.opens(accountOf(grant), key), false);
  });
});

describe('a watched practice mailbox', () => {
  let grant: Grant;
  beforeEach(async () => {
    grant = await newGrant();
  });

  async function watched(lookMs = 60_000): Promise<WatchedMailbox> {
    const provider = practiceProvider(practiceStore({ sql: database.sql, vault }), { lookMs });
    const order = { folders: [], since: new Date(Date.now() - 60_000) };
    const access = accessTo(await credentialsOf(grant));
    const outcome = await provider.watch(accountOf(grant), access, order, AbortSignal.timeout(10_000));
    assert.ok(outcome.kind === 'open');
    return outcome.mailbox;
  }

  /** As another process would put it there, at another time; resolves with its id. */
  async function appear(id: string): Promise<void> {
    const { raw, messageId } = mail(`at ${id}`);
    await database.sql`
      insert into practice_messages (app, id, grant_id, folder, message_id, subject, sender, recipients, envelope, size, raw)
      values (${grant.app}, ${id}, ${grant.id}, 'INBOX', ${messageId}, '', '{}', '[]', '{}', ${raw.length}, ${raw})`;
  }

  it('is woken at once by what this process puts there', async () => {
    const mailbox = await watched();
    const { cursor } = await mailbox.next(null);
    const store = practiceStore({ sql: database.sql, vault });
    for (const put of [
      () => practiceInbox({ sql: database.sql })(grant, mail('an answer').raw),
      () => store.keepSent(accountOf(grant), mail('sent')),
    ]) {
      const waiting = mailbox.wait(AbortSignal.timeout(20_000));
      const started = performance.now();
      await put();
      await waiting;
      assert.ok(performance.now() - started < 5000);
      assert.equal((await mailbox.next(cursor)).mails.length > 0, true);
    }
    await mailbox.close();
  });

  it('sees what another process put there', async () => {
    const mailbox = await watched(20);
    const { cursor } = await mailbox.next(null);
    const waiting = mailbox.wait(AbortSignal.timeout(20_000));
    await appear(uuidv7());
    await waiting;
    assert.equal((await mailbox.next(cursor)).mails.length, 1);
    await mailbox.close();
  });

  it('finds a mail whose id is older than one it gave already, and none twice', async () => {
    const mailbox = await watched();
    const now = Date.now();
    const [first, late, second] = [uuidv7(now - 5000), uuidv7(now - 9000), uuidv7(now)];
    await appear(first);
    const one = await mailbox.next(null);
    await appear(late);
    await appear(second);
    const two = await mailbox.next(one.cursor);
    const three = await mailbox.next(JSON.parse(JSON.stringify(two.cursor)));
    assert.deepEqual(
      [one, two, three].map(({ mails }) => mails.map(({ place }) => place)),
      [[first], [late, second], []],
    );
    await mailbox.close();
  });

  it('goes on whatever its cursor was made of', async () => {
    const mailbox = await watched();
    await appear(uuidv7());
    for (const cursor of [{}, { after: 'x', given: [] }, { after: 0, given: ['not an id', 5, null] }]) {
      assert.equal((await mailbox.next(cursor)).mails.length, 1);
    }
    await mailbox.close();
  });

  it('gives many mails in pages, and of each no more than its head', async () => {
    const receive = practiceInbox({ sql: database.sql });
    for (let at = 0; at < 205; at += 1) await receive(grant, mail(`no ${at}`).raw);
    await receive(grant, mail('huge', 1_000_000).raw);
    const mailbox = await watched();
    const one = await mailbox.next(null);
    const two = await mailbox.next(one.cursor);
    assert.deepEqual([one.mails.length, one.isLast, two.mails.length, two.isLast], [200, false, 6, true]);
    const huge = two.mails.at(-1);
    assert.equal(huge?.head.subject, 'huge');
    assert.ok((huge?.size ?? 0) > 1_000_000);
    const [found] = await practiceReading(database.sql).later(accountOf(grant), 0, [], 1);
    assert.match(found?.head.toString() ?? '', /Message-ID: <no\.0@practice\.test>\r\n\r\n$/);
    await mailbox.close();
  });

  it('breaks once the grant has expired', async () => {
    const mailbox = await watched();
    const { cursor } = await mailbox.next(null);
    await expireGrant(database.sql, grant.app, grant.id);
    const isClosed = (error: unknown): boolean => error instanceof WatchBroken && error.problem.kind === 'unauthorised';
    await assert.rejects(mailbox.next(cursor), isClosed);
    await assert.rejects(mailbox.read('x'), isClosed);
    await assert.rejects(mailbox.beginnings(['x'], 1), isClosed);
  });
});
