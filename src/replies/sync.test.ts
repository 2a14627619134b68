import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type LyingMails, lyingMails } from '../../test/support/lying-mails.ts';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import { createApplication } from '../grants/applications.ts';
import { deleteGrant, type Grant } from '../grants/grants.ts';
import { openPracticeGrant } from '../grants/practice-mail.ts';
import { DEFAULT_SETTINGS, type TrackingSettings } from '../grants/settings.ts';
import { makeVault } from '../grants/vault.ts';
import { uuidv7, wireId } from '../ids.ts';
import { parseKeyring } from '../keyring.ts';
import { makeLog } from '../log.ts';
import type { FoundMail } from '../providers/watch.ts';
import { reserveAll, settleAll } from '../tracking/messages.ts';
import { telling } from '../tracking/send-facts.ts';
import { linkUrl, pixelUrl, tokenKeys } from '../tracking/token.ts';
import { type Lease, LeaseLost } from './leases.ts';
import type { SyncRun } from './pages.ts';
import { noAnswers, type PageResult, syncPage } from './sync.ts';

const ring = parseKeyring('a secret for tests only');
const vault = makeVault(ring);
const keys = tokenKeys(ring);
const DAY_MS = 86_400_000;
let database: TestDatabase;
let grant: Grant;
let lease: Lease;
let box: LyingMails;
let settings: TrackingSettings;
let tellsOfMail: boolean;
let cursors = 0;
let count = 0;

before(async () => {
  database = await testDatabase(migrate);
});
after(() => database.drop());

beforeEach(async () => {
  box = lyingMails();
  settings = DEFAULT_SETTINGS;
  tellsOfMail = false;
  grant = await newGrant();
  lease = await leaseOf(grant);
});

async function newGrant(app?: number): Promise<Grant> {
  count += 1;
  const application =
    app === undefined
      ? await createApplication(database.sql, { name: `app ${count}`, environment: 'production' })
      : { serial: app };
  assert.ok(application);
  const owner = { email: `alice${count}@shop.test` };
  const made = await openPracticeGrant({ sql: database.sql, vault }, application.serial, owner);
  return made.grant;
}

async function leaseOf({ app, id: grantId }: Grant): Promise<Lease> {
  const nodeId = uuidv7();
  await database.sql`insert into watches (app, grant_id, node_id, epoch) values (${app}, ${grantId}, ${nodeId}, 1)`;
  return { app, grantId, nodeId, epoch: 1 };
}

interface Sent {
  readonly id: string;
  readonly header: string;
  readonly thread: string;
}

async function sent(
  options: {
    by?: Grant;
    threadReplies?: boolean;
    ancestors?: readonly string[];
    subject?: string;
    thread?: string;
  } = {},
): Promise<Sent> {
  const { by = grant, threadReplies = true, ancestors = [], subject = 'Renewal' } = options;
  const id = uuidv7();
  const header = `<${id}@shop.test>`;
  const thread = options.thread ?? wireId('thr', id);
  const tracked = { label: 'spring', opens: false, links: false, threadReplies };
  const names = { app: by.app, id, grantId: by.id, messageId: header, threadId: thread };
  await reserveAll(database.sql, [{ message: { ...tracked, ...names, ancestors, subject, metadata: {} }, links: [] }]);
  const result = { state: 'sent', messageId: header, providerMessageId: null } as const;
  await settleAll(database.sql, [{ app: by.app, id, result, telling: telling(false, null, null) }]);
  return { id, header, thread };
}

function sync(...mails: readonly FoundMail[]): Promise<PageResult> {
  const deps = {
    sql: database.sql,
    keys,
    log: makeLog('silent'),
    onFacts: () => {},
    tellsOfMail: async () => tellsOfMail,
    counts: noAnswers(),
    cleaner: () => ({ html: (body: string) => body, text: (body: string) => body }),
  };
  const run: SyncRun = { lease, grant, settings, mailbox: box.mailbox };
  return syncPage(deps, run, { mails, cursor: { at: ++cursors }, isLast: true });
}

let letters = 0;

function answer(parent: string, fields: readonly string[] = [], found: Partial<FoundMail> = {}): FoundMail {
  const from = fields.some((field) => field.startsWith('From:')) ? [] : ['From: Kim <kim@client.test>'];
  const id = fields.some((field) => field.startsWith('Message-ID:'))
    ? []
    : [`Message-ID: <answer-${++letters}@client.test>`];
  return box.put([...from, ...id, `In-Reply-To: ${parent}`, 'Subject: Re: Renewal', ...fields], 'Yes', found);
}

interface Told {
  readonly trigger: string;
  readonly sequence: number | null;
  readonly messageId: string | null;
  readonly detail: Record<string, unknown>;
}

async function told(): Promise<Told[]> {
  const facts = await database.sql<Told[]>`
    select trigger, sequence, message_id as "messageId", detail from outbox
    where app = ${grant.app} and trigger not like 'grant.%' order by position`;
  return [...facts];
}

async function events(): Promise<{ class: string; sequence: number | null; reasons: string[] }[]> {
  const rows = await database.sql<{ class: string; sequence: number | null; reasons: string[] }[]>`
    select class, sequence, reasons from events where app = ${grant.app} order by happened_at, id`;
  return [...rows];
}

describe('a page of mail', () => {
  it('tells a reply once, with its ids and number', async () => {
    const root = await sent();
    const mail = answer(root.header);
    assert.deepEqual(await sync(mail), { mails: 1, classes: ['reply'] });
    assert.deepEqual(await sync(mail, { ...mail, place: 'Archive 7', folder: 'Archive' }), { mails: 2, classes: [] });
    const [fact, ...more] = await told();
    assert.equal(more.length, 0);
    assert.deepEqual([fact?.trigger, fact?.sequence, fact?.messageId], ['thread.replied', 0, root.id]);
    const [row] = await database.sql<{ id: string; root_id: string; class: string }[]>`
      select id, root_id, class from received_messages where app = ${grant.app}`;
    assert.deepEqual([row?.root_id, row?.class], [root.id, 'reply']);
    assert.deepEqual(fact?.detail, {
      message_id: wireId('msg', row?.id ?? ''),
      reply_to_message_id: wireId('msg', root.id),
      thread_id: root.thread,
      from_self: false,
      auto_reply: false,
    });
    const [watch] = await database.sql<{ cursor: unknown; synced: boolean }[]>`
      select cursor, synced_at is not null as synced from watches where app = ${grant.app}`;
    assert.deepEqual(watch, { cursor: { at: cursors }, synced: true });
  });

  it('numbers the replies of one second without gaps, each of its own root', async () => {
    const [first, second] = [await sent(), await sent()];
    const receivedAt = new Date();
    const mails = Array.from({ length: 20 }, (_, at) =>
      answer(at % 2 ? first.header : second.header, [], { receivedAt }),
    );
    await sync(...mails);
    const facts = await told();
    for (const { id } of [first, second]) {
      const numbers = facts.filter(({ messageId }) => messageId === id).map(({ sequence }) => sequence);
      assert.deepEqual(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
  });

  it('counts a reply to a reply for the root, and knows what it answers', async () => {
    const root = await sent();
    const first = answer(root.header, ['Message-ID: <first@client.test>']);
    await sync(first);
    await sync(answer('<first@client.test>', ['From: lee@client.test']));
    const facts = await told();
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
    const root = await sent();
    await sync(
      answer(root.header, [`From: ${grant.email}`]),
      answer(root.header, ['From: someone@else.test'], { isSent: true, folder: 'SENT' }),
      answer(root.header, ['Auto-Submitted: auto-replied']),
      answer(root.header, ['Content-Type: multipart/report; report-type=disposition-notification; boundary=b']),
    );
    assert.deepEqual((await events()).map(({ class: kind, sequence }) => [kind, sequence]).sort(), [
      ['auto_reply', null],
      ['other', null],
      ['self', null],
      ['self', null],
    ]);
    assert.deepEqual(await told(), []);
  });

  it('tells of follow-ups and out-of-office mail where the application wants that', async () => {
    settings = { ...settings, notifySelfReplies: true, notifyAutoReplies: true };
    const root = await sent();
    await sync(answer(root.header, [`From: ${grant.email}`]), answer(root.header, ['Auto-Submitted: auto-replied']));
    assert.deepEqual(
      (await told()).map(({ sequence, detail }) => [sequence, detail.from_self, detail.auto_reply]),
      [
        [0, true, false],
        [1, false, true],
      ],
    );
  });

  it('takes a message of ours for a follow-up under its own id, and its copy in Sent for nothing', async () => {
    settings = { ...settings, notifySelfReplies: true };
    const root = await sent();
    const next = await sent({ threadReplies: false, ancestors: [root.header], thread: root.thread });
    const inSent = { isSent: true, folder: 'SENT' };
    await sync(
      box.put([`Message-ID: ${root.header}`, `From: ${grant.email}`], 'x', inSent),
      box.put([`Message-ID: ${next.header}`, `In-Reply-To: ${root.header}`, `From: ${grant.email}`], 'x', inSent),
    );
    assert.deepEqual(
      (await told()).map(({ messageId, detail }) => [messageId, detail.message_id]),
      [[root.id, wireId('msg', next.id)]],
    );
  });

  it('tells a hard bounce of the message it reports, and only records a soft one', async () => {
    const root = await sent();
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
    await sync(box.put([...head, 'Message-ID: <soft@mail.test>', type], report('delayed', '4.2.2')));
    assert.deepEqual(await told(), []);
    await sync(box.put([...head, 'Message-ID: <hard@mail.test>', type], report('failed', '5.1.1')));
    const [fact, ...more] = await told();
    assert.equal(more.length, 0);
    assert.deepEqual([fact?.trigger, fact?.messageId, fact?.sequence], ['message.bounce_detected', root.id, null]);
    const { origin, ...bounce } = fact?.detail ?? {};
    assert.deepEqual([bounce.addresses, bounce.code, bounce.type], [['kim@client.test'], '550', 'mailbox_unavailable']);
    const names = { from: grant.email, to: ['kim@client.test'], cc: ['lee@client.test'], bcc: [], subject: 'Renewal' };
    const { sent_at: sentAt, ...rest } = origin as { sent_at: number };
    assert.deepEqual(rest, { ...names, mime_id: root.header.slice(1, -1) });
    assert.ok(Math.abs(sentAt * 1000 - Date.now()) < 60_000);
    assert.deepEqual(
      (await events()).map(({ class: kind }) => kind),
      ['bounce', 'bounce'],
    );
  });

  it('finds a reply by the token it quotes, not by its subject', async () => {
    const root = await sent();
    const identity = { app: grant.app, grant: grant.serial, message: root.id };
    const link = linkUrl(keys, 'https://track.test', { ...identity, link: 0 }, 'https://shop.test/');
    const head = (id: string): string[] => [
      'From: kim@client.test',
      `Message-ID: <${id}@client.test>`,
      'Subject: RE: Renewal',
    ];
    await sync(
      box.put([...head('quoting'), 'Content-Type: text/html'], `Yes <blockquote><a href="${link}">x</a></blockquote>`),
      box.put([...head('silent'), 'Content-Type: text/html'], 'Yes'),
    );
    const [fact, ...more] = await told();
    assert.equal(more.length, 0);
    assert.equal(fact?.messageId, root.id);
    assert.deepEqual((await events())[0]?.reasons.includes('by_token'), true);
  });

  it('believes neither ids nor tokens of another grant', async () => {
    const other = await newGrant(grant.app);
    const foreign = await sent({ by: other });
    await sent();
    const pixel = pixelUrl(keys, 'https://track.test', { app: grant.app, grant: other.serial, message: foreign.id });
    const quoting = [
      'From: kim@client.test',
      'Message-ID: <q@client.test>',
      'Subject: Re: Renewal',
      'Content-Type: text/html',
    ];
    await sync(answer(foreign.header), box.put(quoting, `<img src="${pixel}">`));
    assert.deepEqual(await told(), []);
    assert.deepEqual(await events(), []);
  });

  it('opens nothing that neither looks like a bounce nor like a quotation', async () => {
    await sent();
    await sync(box.put(['From: news@else.test', 'Message-ID: <n@else.test>', 'Subject: Newsletter']));
    assert.deepEqual(box.opened, []);
  });

  it('records what comes after the window as closed; each answer opens it anew', async () => {
    settings = { ...settings, replyWatchDays: 10 };
    const root = await sent();
    const after = (days: number): Partial<FoundMail> => ({ receivedAt: new Date(Date.now() + days * DAY_MS) });
    await database.sql`update messages set state_at = now() - interval '20 days' where id = ${root.id}`;
    await sync(
      answer(root.header, [], after(-12)),
      answer(root.header, [], after(-3)),
      answer(root.header, [], after(-1)),
    );
    await database.sql`update messages set active_at = now() - interval '15 days' where id = ${root.id}`;
    await sync(answer(root.header));
    const recorded = await events();
    assert.deepEqual(
      recorded.map(({ sequence }) => sequence),
      [0, 1, 2, null],
    );
    assert.ok(recorded[3]?.reasons.includes('closed'));
    assert.equal((await told()).length, 3);
  });

  it('writes nothing without the lease, nor for a deleted grant', async () => {
    const root = await sent();
    const mine = lease;
    lease = { ...mine, epoch: 2 };
    await assert.rejects(sync(answer(root.header)), LeaseLost);
    lease = mine;
    await deleteGrant(database.sql, grant.app, grant.id);
    await assert.rejects(sync(answer(root.header)), LeaseLost);
    assert.deepEqual([await told(), await events()], [[], []]);
  });
});

describe('mail that arrives', () => {
  it('is told once while that is subscribed to, under the id that a reply is told by', async () => {
    tellsOfMail = true;
    const root = await sent();
    const mail = answer(root.header);
    const other = box.put(
      ['From: lee@client.test', 'Message-ID: <new@client.test>', 'Subject: Something else'],
      'Well',
    );
    await sync(mail, other);
    await sync({ ...mail, place: 'INBOX 1' }, { ...other, folder: 'Archive' });
    const facts = await told();
    assert.deepEqual(
      facts.map(({ trigger }) => trigger),
      ['message.created', 'message.created', 'thread.replied'],
    );
    assert.equal(facts[0]?.detail.id, facts[2]?.detail.message_id);
    assert.deepEqual([facts[0]?.detail.thread_id, facts[1]?.detail.subject], [root.thread, 'Something else']);
    assert.notEqual(facts[1]?.detail.thread_id, root.thread);
  });

  it('is not told where it was there before, lies in Sent or is a message of ours', async () => {
    tellsOfMail = true;
    const root = await sent();
    await sync(
      box.put(['Message-ID: <old@client.test>'], 'x', { isNew: false }),
      box.put(['Message-ID: <own@client.test>'], 'x', { isSent: true }),
      box.put([`Message-ID: ${root.header}`]),
    );
    assert.deepEqual(await told(), []);
  });

  it('leaves no row where nobody subscribes', async () => {
    await sent();
    await sync(box.put(['Message-ID: <any@client.test>', 'Subject: Else']));
    const rows = await database.sql`select from received_messages where app = ${grant.app}`;
    assert.equal(rows.length, 0);
  });
});
