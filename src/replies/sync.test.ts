import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { keys, type PageGround, pageGround } from '../../test/support/page-ground.ts';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import { deleteGrant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import type { FoundMail } from '../providers/watch.ts';
import { linkUrl, pixelUrl } from '../tracking/token.ts';
import { LeaseLost } from './leases.ts';

const DAY_MS = 86_400_000;
let database: TestDatabase;
let on: PageGround;

before(async () => {
  database = await testDatabase(migrate);
});
after(() => database.drop());
beforeEach(async () => {
  on = await pageGround(database);
});

describe('a page of mail', () => {
  it('tells a reply once, with its ids and number', async () => {
    const root = await on.sent();
    const mail = on.answer(root.header);
    assert.deepEqual(await on.sync(mail), { mails: 1, classes: ['reply'] });
    assert.deepEqual(await on.sync(mail, { ...mail, place: 'Archive 7', folder: 'Archive' }), {
      mails: 2,
      classes: [],
    });
    const [fact, ...more] = await on.told();
    assert.equal(more.length, 0);
    assert.deepEqual([fact?.trigger, fact?.sequence, fact?.messageId], ['thread.replied', 0, root.id]);
    const [row] = await database.sql<{ id: string; root_id: string; class: string }[]>`
      select id, root_id, class from received_messages where app = ${on.grant.app}`;
    assert.deepEqual([row?.root_id, row?.class], [root.id, 'reply']);
    assert.deepEqual(fact?.detail, {
      message_id: wireId('msg', row?.id ?? ''),
      reply_to_message_id: wireId('msg', root.id),
      thread_id: root.thread,
      from_self: false,
      auto_reply: false,
    });
    const [watch] = await database.sql<{ cursor: unknown; synced: boolean }[]>`
      select cursor, synced_at is not null as synced from watches where app = ${on.grant.app}`;
    assert.deepEqual(watch, { cursor: { at: 2 }, synced: true });
  });

  it('numbers the replies of one second without gaps, each of its own root', async () => {
    const [first, second] = [await on.sent(), await on.sent()];
    const receivedAt = new Date();
    const mails = Array.from({ length: 20 }, (_, at) =>
      on.answer(at % 2 ? first.header : second.header, [], { receivedAt }),
    );
    await on.sync(...mails);
    const facts = await on.told();
    for (const { id } of [first, second]) {
      const numbers = facts.filter(({ messageId }) => messageId === id).map(({ sequence }) => sequence);
      assert.deepEqual(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
  });

  it('counts a reply to a reply for the root, and knows what it answers', async () => {
    const root = await on.sent();
    const first = on.answer(root.header, ['Message-ID: <first@client.test>']);
    await on.sync(first);
    await on.sync(on.answer('<first@client.test>', ['From: lee@client.test']));
    const facts = await on.told();
    assert.deepEqual(
      facts.map(({ messageId, sequence }) => [messageId, sequence]),
      [
        [root.id, 0],
        [root.id, 1],
      ],
    );
    assert.equal(facts[1]?.detail.reply_to_message_id, facts[0]?.detail.message_id);
  });

  it('records follow-ups, out-of-office mail and bounces with their classes, and tells of none', async () => {
    const root = await on.sent();
    await on.sync(
      on.answer(root.header, [`From: ${on.grant.email}`]),
      on.answer(root.header, ['From: someone@else.test'], { isSent: true, folder: 'SENT' }),
      on.answer(root.header, ['Auto-Submitted: auto-replied']),
      on.answer(root.header, ['Content-Type: multipart/report; report-type=disposition-notification; boundary=b']),
    );
    assert.deepEqual((await on.events()).map(({ class: kind, sequence }) => [kind, sequence]).sort(), [
      ['auto_reply', null],
      ['other', null],
      ['self', null],
      ['self', null],
    ]);
    assert.deepEqual(await on.told(), []);
  });

  it('tells of follow-ups and out-of-office mail where the application wants that', async () => {
    on.settings = { ...on.settings, notifySelfReplies: true, notifyAutoReplies: true };
    const root = await on.sent();
    await on.sync(
      on.answer(root.header, [`From: ${on.grant.email}`]),
      on.answer(root.header, ['Auto-Submitted: auto-replied']),
    );
    assert.deepEqual(
      (await on.told()).map(({ sequence, detail }) => [sequence, detail.from_self, detail.auto_reply]),
      [
        [0, true, false],
        [1, false, true],
      ],
    );
  });

  it('takes a message of ours for a follow-up under its own id, and its copy in Sent for nothing', async () => {
    on.settings = { ...on.settings, notifySelfReplies: true };
    const root = await on.sent();
    const next = await on.sent({ threadReplies: false, ancestors: [root.header], thread: root.thread });
    const inSent = { isSent: true, folder: 'SENT' };
    await on.sync(
      on.box.put([`Message-ID: ${root.header}`, `From: ${on.grant.email}`], 'x', inSent),
      on.box.put([`Message-ID: ${next.header}`, `In-Reply-To: ${root.header}`, `From: ${on.grant.email}`], 'x', inSent),
    );
    assert.deepEqual(
      (await on.told()).map(({ messageId, detail }) => [messageId, detail.message_id]),
      [[root.id, wireId('msg', next.id)]],
    );
  });

  it('tells a hard bounce of the message it reports, and only records a soft one', async () => {
    const root = await on.sent();
    const report = (action: string, status: string): string =>
      [
        ...['--b', 'Content-Type: text/plain', '', 'Sorry', '--b', 'Content-Type: message/delivery-status', ''],
        ...['Reporting-MTA: dns; mail.test', '', 'Final-Recipient: rfc822; kim@client.test', `Action: ${action}`],
        ...[
          `Status: ${status}`,
          `Diagnostic-Code: smtp; ${status.startsWith('5') ? '550' : '450'} ${status} No such user`,
        ],
        ...[
          '',
          '--b',
          'Content-Type: text/rfc822-headers',
          '',
          `Message-ID: ${root.header}`,
          'To: Kim <kim@client.test>',
        ],
        ...['Cc: lee@client.test', 'Subject: Renewal', '', '--b--'],
      ].join('\r\n');
    const head = [
      'From: MAILER-DAEMON@mail.test',
      'Subject: Undelivered',
      'Auto-Submitted: auto-replied',
      'Return-Path: <>',
    ];
    const type = 'Content-Type: multipart/report; report-type=delivery-status; boundary=b';
    await on.sync(on.box.put([...head, 'Message-ID: <soft@mail.test>', type], report('delayed', '4.2.2')));
    assert.deepEqual(await on.told(), []);
    await on.sync(on.box.put([...head, 'Message-ID: <hard@mail.test>', type], report('failed', '5.1.1')));
    const [fact, ...more] = await on.told();
    assert.equal(more.length, 0);
    assert.deepEqual([fact?.trigger, fact?.messageId, fact?.sequence], ['message.bounce_detected', root.id, null]);
    const { origin, ...bounce } = fact?.detail ?? {};
    assert.deepEqual([bounce.addresses, bounce.code, bounce.type], [['kim@client.test'], '550', 'mailbox_unavailable']);
    const names = {
      from: on.grant.email,
      to: ['kim@client.test'],
      cc: ['lee@client.test'],
      bcc: [],
      subject: 'Renewal',
    };
    const { sent_at: sentAt, ...rest } = origin as { sent_at: number };
    assert.deepEqual(rest, { ...names, mime_id: root.header.slice(1, -1) });
    assert.ok(Math.abs(sentAt * 1000 - Date.now()) < 60_000);
    assert.deepEqual(
      (await on.events()).map(({ class: kind }) => kind),
      ['bounce', 'bounce'],
    );
  });

  it('finds a reply by the token it quotes, not by its subject', async () => {
    const root = await on.sent();
    const identity = { app: on.grant.app, grant: on.grant.serial, message: root.id };
    const link = linkUrl(keys, 'https://track.test', { ...identity, link: 0 }, 'https://shop.test/');
    const head = (id: string): string[] => [
      'From: kim@client.test',
      `Message-ID: <${id}@client.test>`,
      'Subject: RE: Renewal',
    ];
    await on.sync(
      on.box.put(
        [...head('quoting'), 'Content-Type: text/html'],
        `Yes <blockquote><a href="${link}">x</a></blockquote>`,
      ),
      on.box.put([...head('silent'), 'Content-Type: text/html'], 'Yes'),
    );
    const [fact, ...more] = await on.told();
    assert.equal(more.length, 0);
    assert.equal(fact?.messageId, root.id);
    assert.deepEqual((await on.events())[0]?.reasons.includes('by_token'), true);
  });

  it('finds a reply by the thread of the provider, as the copy in Sent is of it', async () => {
    const root = await on.sent();
    const inSent = { isSent: true, folder: 'SENT', threadKey: 'T1' };
    await on.sync(on.box.put([`Message-ID: ${root.header}`, `From: ${on.grant.email}`], 'x', inSent));
    await on.sync(
      on.box.put(['From: kim@client.test', 'Message-ID: <t1@client.test>'], 'Yes', { threadKey: 'T1' }),
      on.box.put(['From: kim@client.test', 'Message-ID: <t2@client.test>'], 'Yes', { threadKey: 'T2' }),
    );
    assert.deepEqual(
      (await on.told()).map(({ messageId }) => messageId),
      [root.id],
    );
    assert.ok((await on.events())[0]?.reasons.includes('by_thread'));
  });

  it('believes neither ids nor tokens of another grant', async () => {
    const other = await on.newGrant();
    const foreign = await on.sent({ by: other });
    await on.sent();
    const pixel = pixelUrl(keys, 'https://track.test', { app: on.grant.app, grant: other.serial, message: foreign.id });
    const quoting = [
      'From: kim@client.test',
      'Message-ID: <q@client.test>',
      'Subject: Re: Renewal',
      'Content-Type: text/html',
    ];
    await on.sync(on.answer(foreign.header), on.box.put(quoting, `<img src="${pixel}">`));
    assert.deepEqual(await on.told(), []);
    assert.deepEqual(await on.events(), []);
  });

  it('opens nothing that neither looks like a bounce nor like a quotation', async () => {
    await on.sent();
    await on.sync(on.box.put(['From: news@else.test', 'Message-ID: <n@else.test>', 'Subject: Newsletter']));
    assert.deepEqual(on.box.opened, []);
  });

  it('records what comes after the window as closed; each answer opens it anew', async () => {
    on.settings = { ...on.settings, replyWatchDays: 10 };
    const root = await on.sent();
    const after = (days: number): Partial<FoundMail> => ({ receivedAt: new Date(Date.now() + days * DAY_MS) });
    await database.sql`update messages set created_at = now() - interval '20 days', state_at = now() - interval '20 days' where id = ${root.id}`;
    await on.sync(
      on.answer(root.header, [], after(-12)),
      on.answer(root.header, [], after(-3)),
      on.answer(root.header, [], after(-1)),
    );
    await database.sql`update messages set active_at = now() - interval '15 days' where id = ${root.id}`;
    await on.sync(on.answer(root.header));
    const recorded = await on.events();
    assert.deepEqual(
      recorded.map(({ sequence }) => sequence),
      [0, 1, 2, null],
    );
    assert.ok(recorded[3]?.reasons.includes('closed'));
    assert.equal((await on.told()).length, 3);
  });

  it('writes nothing without the lease, nor for a deleted grant', async () => {
    const root = await on.sent();
    const mine = on.lease;
    on.lease = { ...mine, epoch: 2 };
    await assert.rejects(on.sync(on.answer(root.header)), LeaseLost);
    on.lease = mine;
    await deleteGrant(database.sql, on.grant.app, on.grant.id);
    await assert.rejects(on.sync(on.answer(root.header)), LeaseLost);
    assert.deepEqual([await on.told(), await on.events()], [[], []]);
  });
});

describe('mail that arrives', () => {
  it('is told once while that is subscribed to, under the id that a reply is told by', async () => {
    on.tellsOfMail = true;
    const root = await on.sent();
    const mail = on.answer(root.header);
    const other = on.box.put(
      ['From: lee@client.test', 'Message-ID: <new@client.test>', 'Subject: Something else'],
      'Well',
    );
    await on.sync(mail, other);
    await on.sync({ ...mail, place: 'INBOX 1' }, { ...other, folder: 'Archive' });
    const facts = await on.told();
    assert.deepEqual(
      facts.map(({ trigger }) => trigger),
      ['message.created', 'message.created', 'thread.replied'],
    );
    assert.equal(facts[0]?.detail.id, facts[2]?.detail.message_id);
    assert.deepEqual([facts[0]?.detail.thread_id, facts[1]?.detail.subject], [root.thread, 'Something else']);
    assert.notEqual(facts[1]?.detail.thread_id, root.thread);
  });

  it('belongs to the thread of what it answers, tracked or not', async () => {
    on.tellsOfMail = true;
    const untracked = await on.sent({ threadReplies: false });
    await on.sync(on.answer(untracked.header, ['Message-ID: <r1@client.test>']));
    await on.sync(on.answer('<r1@client.test>'));
    await on.sync(on.box.put(['Message-ID: <n1@else.test>', 'Subject: News']));
    await on.sync(on.answer('<n1@else.test>'));
    const threads = (await on.told()).map(({ detail }) => detail.thread_id);
    assert.deepEqual(threads.slice(0, 2), [untracked.thread, untracked.thread]);
    assert.equal(threads[2], threads[3]);
    assert.notEqual(threads[2], untracked.thread);
  });

  it('is not told where it was there before, lies in Sent or is a message of ours', async () => {
    on.tellsOfMail = true;
    const root = await on.sent();
    await on.sync(
      on.box.put(['Message-ID: <old@client.test>'], 'x', { isNew: false }),
      on.box.put(['Message-ID: <own@client.test>'], 'x', { isSent: true }),
      on.box.put([`Message-ID: ${root.header}`]),
    );
    assert.deepEqual(await on.told(), []);
  });

  it('leaves no row where nobody subscribes', async () => {
    await on.sent();
    await on.sync(on.box.put(['Message-ID: <any@client.test>', 'Subject: Else']));
    const rows = await database.sql`select from received_messages where app = ${on.grant.app}`;
    assert.equal(rows.length, 0);
  });
});
