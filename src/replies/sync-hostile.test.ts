// Mail that is meant to do harm, or that broken programs made.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type PageGround, pageGround } from '../../test/support/page-ground.ts';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import { wireId } from '../ids.ts';
import type { FoundMail } from '../providers/watch.ts';
import { LeaseLost } from './leases.ts';
import { quotesLikely } from './match.ts';

const DAY_MS = 86_400_000;
const BULK = ['Precedence: bulk', 'Auto-Submitted: auto-replied'];
let database: TestDatabase;
let on: PageGround;

before(async () => {
  database = await testDatabase(migrate);
});
after(() => database.drop());
beforeEach(async () => {
  on = await pageGround(database);
});

async function classes(): Promise<string[]> {
  const rows = await database.sql<{ class: string }[]>`
    select class from received_messages where app = ${on.grant.app} order by received_at`;
  return rows.map(({ class: kind }) => kind);
}

describe('mails that share a Message-ID', () => {
  const ID = 'Message-ID: <shared@client.test>';

  it('in one page are recorded as the one that is told', async () => {
    const [first, second] = [await on.sent(), await on.sent()];
    const early = { receivedAt: new Date(Date.now() - 60_000), place: 'INBOX early' };
    const later = { receivedAt: new Date(Date.now() - 30_000), place: 'INBOX later' };
    await on.sync(on.answer(first.header, [ID], early), on.answer(second.header, [ID, ...BULK], later));
    const rows = await database.sql`
      select root_id, class, place from received_messages where app = ${on.grant.app}`;
    assert.deepEqual([...rows], [{ root_id: first.id, class: 'reply', place: 'INBOX early' }]);
    assert.deepEqual(
      (await on.told()).map(({ messageId }) => messageId),
      [first.id],
    );
  });

  for (const [name, fields] of [
    ['an automatic answer or the copy of a list', BULK],
    ['a read receipt', ['Content-Type: multipart/report; report-type=disposition-notification; boundary=b']],
    ['one that says it is from the owner', ['From: OWNER']],
  ] as const) {
    it(`do not silence a reply, as ${name}`, async () => {
      const root = await on.sent();
      const forged = fields.map((field) => field.replace('OWNER', on.grant.email));
      const early = new Date(Date.now() - 60_000);
      await on.sync(on.answer(root.header, [ID, ...forged], { receivedAt: early }));
      const reply = on.answer(root.header, [ID]);
      await on.sync(reply);
      await on.sync(reply);
      assert.deepEqual(
        (await on.told()).map(({ trigger, sequence }) => [trigger, sequence]),
        [['thread.replied', 0]],
      );
      assert.deepEqual(await classes(), ['reply']);

      const other = ID.replace('shared', 'shared too');
      await on.sync(on.answer(root.header, [other, ...forged], { receivedAt: early }), on.answer(root.header, [other]));
      assert.equal((await on.told()).length, 2);
    });
  }

  it('are not told a second time where the automatic one was told already', async () => {
    on.settings = { ...on.settings, notifyAutoReplies: true };
    const root = await on.sent();
    await on.sync(on.answer(root.header, [ID, ...BULK]));
    await on.sync(on.answer(root.header, [ID]));
    assert.equal((await on.told()).length, 1);
  });

  it('count as a follow-up where one of them lies in Sent, in whichever order they are met', async () => {
    const root = await on.sent();
    const alias = [ID, 'From: somebody@alias.test'];
    const inSent = { isSent: true, folder: 'SENT' };
    await on.sync(on.answer(root.header, alias), on.answer(root.header, alias, inSent));
    await on.sync(on.answer(root.header, alias));
    assert.deepEqual(await on.told(), []);
    assert.deepEqual(await classes(), ['self']);
  });

  it('are a follow-up where the id is one of ours, as when a list sends our own mail back', async () => {
    on.settings = { ...on.settings, notifySelfReplies: true };
    const root = await on.sent();
    const next = await on.sent({ ancestors: [root.header], thread: root.thread });
    await on.sync(on.answer(root.header, [`Message-ID: ${next.header}`, 'From: Alice via List <list@lists.test>']));
    const [fact] = await on.told();
    assert.deepEqual([fact?.detail.message_id, fact?.detail.from_self], [wireId('msg', next.id), true]);
  });
});

describe('times that cannot be', () => {
  const TIMES = {
    'not a number': Number.NaN,
    'the year 0': Date.UTC(0, 0, 1) - 1900 * 365.2425 * DAY_MS,
    'the last of all': 8_640_000_000_000_000,
    'the first of all': -8_640_000_000_000_000,
  };
  for (const [name, ms] of Object.entries(TIMES)) {
    it(`make nothing fail: ${name}`, async () => {
      on.tellsOfMail = true;
      const root = await on.sent();
      const found = { receivedAt: new Date(ms) };
      await on.sync(on.answer(root.header, [], found), on.box.put(['Message-ID: <u@client.test>'], 'x', found));
      const facts = await on.told();
      assert.deepEqual(facts.map(({ trigger }) => trigger).sort(), [
        'message.created',
        'message.created',
        'thread.replied',
      ]);
      const dates = facts.filter(({ trigger }) => trigger === 'message.created').map(({ detail }) => detail.date);
      for (const date of dates) assert.ok(Math.abs(Number(date) - Date.now() / 1000) < 60);
    });
  }

  it('before the message that is answered are told as now', async () => {
    const root = await on.sent();
    await on.sync(on.answer(root.header, [], { receivedAt: new Date(0) }));
    const [row] = await database.sql<{ seconds: number }[]>`
      select extract(epoch from now() - happened_at)::float8 as seconds from outbox
      where app = ${on.grant.app} and trigger = 'thread.replied'`;
    assert.ok(row !== undefined && Math.abs(row.seconds) < 60);
  });

  it('to come close no window', async () => {
    const root = await on.sent();
    await on.sync(on.answer(root.header, [], { receivedAt: new Date(Date.now() + 400 * DAY_MS) }));
    assert.equal((await on.told()).length, 1);
    const [row] = await database.sql<{ later: boolean }[]>`
      select happened_at > now() as later from outbox where app = ${on.grant.app} and trigger = 'thread.replied'`;
    assert.equal(row?.later, false);
  });
});

describe('a window', () => {
  it('is kept open by what people write and not by reports, in one page as in two', async () => {
    on.settings = { ...on.settings, replyWatchDays: 10 };
    const receipt = ['Content-Type: multipart/report; report-type=disposition-notification; boundary=b'];
    const ago = (days: number): Partial<FoundMail> => ({ receivedAt: new Date(Date.now() - days * DAY_MS) });
    for (const together of [true, false]) {
      const root = await on.sent();
      await database.sql`
        update messages set created_at = now() - interval '20 days', state_at = now() - interval '20 days'
        where id = ${root.id}`;
      const mails = [on.answer(root.header, receipt, ago(11)), on.answer(root.header, [], ago(5))];
      if (together) await on.sync(...mails);
      else for (const mail of mails) await on.sync(mail);
      assert.deepEqual(
        (await on.told()).filter(({ messageId }) => messageId === root.id),
        [],
      );
    }
  });
});

describe('what is told of mail that arrives', () => {
  it('is committed and passed on before the whole page was read', async () => {
    on.tellsOfMail = true;
    await on.sent();
    const mails = Array.from({ length: 45 }, (_, at) => on.box.put([`Message-ID: <m${at}@client.test>`], 'x'));
    const { read } = on.box.mailbox;
    let reads = 0;
    on.box.mailbox.read = async (place) => {
      reads += 1;
      if (reads > 42) throw new Error('the connection is gone');
      return await read(place);
    };
    await assert.rejects(on.sync(...mails), /connection is gone/);
    assert.ok(on.woken >= 2);
    const before = (await on.told()).length;
    assert.ok(before >= 40);
    on.box.mailbox.read = read;
    await on.sync(...mails);
    const ids = (await on.told()).map(({ detail }) => detail.id);
    assert.equal(new Set(ids).size, 45);
    assert.equal(ids.length, 45);
  });
});

describe('what other providers may give', () => {
  it('is kept and told without NULs and halves of characters, however large', async () => {
    on.tellsOfMail = true;
    const root = await on.sent();
    const half = '\ud800';
    const plain = on.answer(root.header);
    const hostile: FoundMail = {
      ...plain,
      place: `INBOX\0${half}`,
      threadKey: `key${half}\0`,
      head: {
        ...plain.head,
        messageId: `<a\0${half}@client.test>`,
        inReplyTo: ['<\0@x>', `<${half}@x>`, `<${'x'.repeat(100_000)}@y>`, root.header],
        references: Array.from({ length: 5000 }, (_, at) => `<r${at}${half}\0@z>`),
        subject: `${half}\0Re: `.repeat(250_000),
        from: Array.from({ length: 5000 }, (_, at) => ({ name: `${half}\0`.repeat(100), email: `p${at}\0@x.test` })),
      },
    };
    const { read } = on.box.mailbox;
    on.box.mailbox.read = async () => {
      const content = await read(plain.place);
      return content && { ...content, head: hostile.head, html: `<p>${half}\0</p>`, folders: [`\0${half}`] };
    };
    assert.deepEqual((await on.sync(hostile)).classes, ['reply']);
    assert.deepEqual(
      (await on.told()).map(({ trigger }) => trigger),
      ['message.created', 'thread.replied'],
    );
  });

  it('is recorded as a bounce whatever the report holds', async () => {
    const root = await on.sent();
    const half = '=?utf-8?B?7aCA?=\0';
    const recipients = Array.from({ length: 2000 }, (_, at) => [
      '',
      `Final-Recipient: rfc822; ${half}${at}@client.test`,
      'Action: failed',
      'Status: 5.1.1',
      `Diagnostic-Code: ${half}`,
    ]).flat();
    const body = [
      ...['--b', 'Content-Type: message/delivery-status', '', `Reporting-MTA: dns; ${half}`, ...recipients, '', '--b'],
      ...['Content-Type: text/rfc822-headers', '', `Message-ID: ${root.header}`, `To: ${half}@x.test`, '', '--b--'],
    ].join('\r\n');
    const type = 'Content-Type: multipart/report; report-type=delivery-status; boundary=b';
    await on.sync(on.box.put(['From: <>', 'Message-ID: <b@mail.test>', `Subject: ${half}`, type], body));
    assert.deepEqual(
      (await on.told()).map(({ trigger }) => trigger),
      ['message.bounce_detected'],
    );
  });
});

describe('what happens twice or breaks off', () => {
  it('is told once where two read the same pages at the same time', async () => {
    on.tellsOfMail = true;
    const root = await on.sent();
    const mails = Array.from({ length: 30 }, () => on.answer(root.header));
    await Promise.all([
      on.sync(...mails),
      on.sync(...mails.toReversed()),
      on.sync(...mails.slice(10)),
      ...mails.map((mail) => on.sync(mail)),
    ]);
    const facts = await on.told();
    const replies = facts.filter(({ trigger }) => trigger === 'thread.replied');
    assert.deepEqual(
      replies.map(({ sequence }) => sequence),
      mails.map((_, at) => at),
    );
    assert.equal(new Set(replies.map(({ detail }) => detail.message_id)).size, 30);
    assert.equal(facts.length, 60);
  });

  it('is told once where another node takes over between the mail that arrived and what it answers', async () => {
    on.tellsOfMail = true;
    const root = await on.sent();
    const mails = Array.from({ length: 25 }, () => on.answer(root.header));
    const { read } = on.box.mailbox;
    on.box.mailbox.read = async (place) => {
      // The first mails of the page were told by then.
      if (place === mails[22]?.place) await database.sql`update watches set epoch = 2 where app = ${on.grant.app}`;
      return await read(place);
    };
    await assert.rejects(on.sync(...mails), LeaseLost);
    assert.equal((await on.told()).length, 20);
    on.lease = { ...on.lease, epoch: 2 };
    await on.sync(...mails);
    await on.sync(...mails);
    assert.equal((await on.told()).length, 50);
  });
});

describe('a database without the partition of this week', () => {
  it('gets it with the next try', async () => {
    const root = await on.sent();
    const mail = on.answer(root.header);
    await on.sync(on.answer(root.header));
    const partitions = await database.sql<{ name: string }[]>`
      select inhrelid::regclass::text as name from pg_inherits where inhparent = 'events'::regclass`;
    for (const { name } of partitions) await database.sql.unsafe(`drop table ${name}`);
    await assert.rejects(on.sync(mail), { code: '23514' });
    assert.deepEqual((await on.sync(mail)).classes, ['reply']);
    assert.equal((await on.told()).length, 2);
  });
});

describe('looking for quotations', () => {
  it('takes no long time over subjects that hold one another again and again', () => {
    const subjects = Array.from({ length: 1000 }, (_, at) => 'a'.repeat(3 + (at % 30)) + (at % 2 ? '' : 'b'));
    const mail = on.box.put([`Subject: ${'a'.repeat(500)}`]);
    const start = performance.now();
    for (let round = 0; round < 200; round++) quotesLikely(mail, subjects);
    assert.ok(performance.now() - start < 2000);
  });
});
