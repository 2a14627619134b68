import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { WatchBroken } from '../../src/providers/watch.ts';
import { ALICE, type MailHost, noDovecot, startMailHost } from '../support/dovecot.ts';
import { startImapEar } from '../support/imap-ear.ts';
import { catchUp, hastyProvider, nextCome, opened, plainMailbox } from '../support/watching.ts';

const skip = noDovecot();
const DAY_MS = 86_400_000;

function mail(subject: string, more = ''): string {
  const id = `<${randomUUID()}@example.org>`;
  return `Message-ID: ${id}\r\nFrom: Kim <kim@example.org>\r\nTo: ${ALICE}\r\nSubject: ${subject}\r\nDate: ${new Date().toUTCString()}\r\n${more}\r\nHello\r\n`;
}

function isBroken(kind: string): (error: unknown) => boolean {
  return (error) => error instanceof WatchBroken && error.problem.kind === kind && /^\S.*[^.\s]$/.test(error.message);
}

describe('a watched mailbox on Dovecot', { skip }, () => {
  let host: MailHost;
  let made: ReturnType<typeof hastyProvider>;
  const ends: (() => Promise<unknown>)[] = [];
  const server = () => ({
    host: host.host,
    port: host.ports.imaps,
    security: 'tls' as const,
    user: ALICE,
    password: host.owners.get(ALICE)?.password ?? '',
  });
  const credentials = () => ({ provider: 'imap' as const, smtp: server(), imap: server() });
  const watch = async (order: Parameters<typeof opened>[2] = {}) => {
    const mailbox = await opened(made, credentials(), order);
    ends.push(() => mailbox.close());
    return mailbox;
  };
  const listen = async (options: Parameters<typeof startImapEar>[1] = {}) => {
    const ear = await startImapEar(host.ports.imap, options);
    ends.push(() => ear.close());
    const at = plainMailbox(ear.port, ALICE, host.owners.get(ALICE)?.password ?? '');
    return { ear, at };
  };
  const subjects = (caught: { mails: readonly { head: { subject: string } }[] }) =>
    caught.mails.map(({ head }) => head.subject);

  before(async () => {
    host = await startMailHost();
    made = hastyProvider(host.ca);
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
    await host.withProgram(ALICE, async (program) => {
      for (const { path } of await program.list()) {
        await program.mailboxOpen(path);
        await program.messageDelete('1:*');
      }
    });
  });
  after(async () => {
    await made.close();
    await host.close();
  });

  it('passes over what came before that day, and tells what comes', async () => {
    await host.withProgram(ALICE, async (program) => {
      await program.append('INBOX', mail('old'), [], new Date(Date.now() - 5 * DAY_MS));
      await program.append('INBOX', mail('yesterday'), [], new Date(Date.now() - DAY_MS));
    });
    const mailbox = await watch({ since: new Date(Date.now() - DAY_MS) });
    const first = await catchUp(mailbox, null);
    assert.deepEqual(subjects(first), ['yesterday']);
    assert.deepEqual(
      first.mails.map(({ isNew, isSent, folder }) => [isNew, isSent, folder]),
      [[false, false, 'INBOX']],
    );
    await host.deliver(ALICE, mail('now'));
    const second = await nextCome(mailbox, first.cursor);
    assert.deepEqual(subjects(second), ['now']);
    const [found] = second.mails;
    assert.equal(found?.isNew, true);
    assert.deepEqual(found?.head.from, [{ name: 'Kim', email: 'kim@example.org' }]);
    assert.ok((found?.size ?? 0) > 100);
  });

  it('goes on from the cursor in another connection', async () => {
    await host.deliver(ALICE, mail('before'));
    const one = await watch();
    const { cursor } = await catchUp(one, null);
    assert.match(JSON.stringify(cursor), /\["INBOX","[1-9]\d*",\d+,\d+,"[1-9]\d*"\]/); // with HIGHESTMODSEQ
    await one.close();
    await host.deliver(ALICE, mail('meanwhile'));
    await host.withProgram(ALICE, (program) => program.append('Sent', mail('an answer'), ['\\Seen']));
    const two = await watch();
    const caught = await catchUp(two, JSON.parse(JSON.stringify(cursor)));
    assert.deepEqual(
      caught.mails.map(({ head, folder, isSent, isNew }) => [head.subject, folder, isSent, isNew]),
      [
        ['meanwhile', 'INBOX', false, true],
        ['an answer', 'SENT', true, true],
      ],
    );
    assert.deepEqual((await catchUp(two, caught.cursor)).mails, []);
  });

  it('tells again what was not dealt with', async () => {
    const mailbox = await watch();
    const { cursor } = await catchUp(mailbox, null);
    await host.deliver(ALICE, mail('kept'));
    const first = await nextCome(mailbox, cursor);
    assert.deepEqual(subjects(await catchUp(mailbox, cursor)), ['kept']);
    assert.deepEqual(subjects(await catchUp(mailbox, first.cursor)), []);
  });

  it('reads by date again where the numbers are others, and calls nothing new that was there', async () => {
    await host.deliver(ALICE, mail('known'));
    await host.withProgram(ALICE, (program) =>
      program.append('INBOX', mail('an hour old'), [], new Date(Date.now() - 3_600_000)),
    );
    const one = await watch();
    const { cursor } = await catchUp(one, null);
    await one.close();
    await host.renumber(ALICE);
    await host.deliver(ALICE, mail('new'));
    const two = await watch();
    const { mails } = await catchUp(two, cursor);
    assert.deepEqual(mails.map(({ head }) => head.subject).sort(), ['an hour old', 'known', 'new']);
    assert.deepEqual(mails.find(({ head }) => head.subject === 'an hour old')?.isNew, false);
    assert.deepEqual(mails.find(({ head }) => head.subject === 'new')?.isNew, true);
  });

  it('looks into the archive, and into folders that are named once they are there', async () => {
    const mailbox = await watch({ folders: ['Projects'] });
    const first = await catchUp(mailbox, null);
    assert.deepEqual(
      first.pages.flatMap(({ missing = [] }) => missing),
      ['Projects'],
    );
    assert.deepEqual((await mailbox.next(first.cursor)).missing, undefined);
    await host.withProgram(ALICE, async (program) => {
      await program.mailboxCreate('Projects');
      await program.mailboxCreate('Elsewhere');
      await program.append('Elsewhere', mail('elsewhere'));
      await program.append('Projects', mail('named'));
      await program.append('Archive', mail('archived'));
      await program.append('Drafts', mail('draft'));
    });
    let { cursor, mails } = await nextCome(mailbox, first.cursor);
    if (mails.length < 2)
      ({ cursor, mails } = { mails: [...mails, ...(await nextCome(mailbox, cursor)).mails], cursor });
    assert.deepEqual(mails.map(({ folder }) => folder).sort(), ['Archive', 'Projects']);
    await mailbox.close();
    const everywhere = await watch({ folders: ['*'] });
    assert.deepEqual(subjects(await catchUp(everywhere, null)).sort(), ['archived', 'elsewhere', 'named']);
    await everywhere.close();
    const usual = await watch({});
    assert.deepEqual(subjects(await catchUp(usual, null)), ['archived']);
  });

  it('calls a mail that was moved here old', async () => {
    await host.withProgram(ALICE, async (program) => {
      await program.append('Drafts', mail('moved'), [], new Date(Date.now() - 7_200_000));
    });
    const mailbox = await watch();
    const { cursor } = await catchUp(mailbox, null);
    await host.withProgram(ALICE, async (program) => {
      await program.mailboxOpen('Drafts');
      await program.messageMove('1:*', 'INBOX');
    });
    const { mails } = await nextCome(mailbox, cursor);
    assert.deepEqual(
      mails.map(({ head, isNew }) => [head.subject, isNew]),
      [['moved', false]],
    );
  });

  it('reads 1,200 scattered mails with one search and a FETCH for every 1,000', async () => {
    await host.withProgram(ALICE, async (program) => {
      for (let at = 0; at < 25; at++) await program.append('INBOX', mail(`mail ${at}`));
      await program.mailboxOpen('INBOX');
      for (let times = 1; times < 50; times *= 2)
        await program.messageCopy(`1:${Math.min(times, 50 - times) * 25}`, 'INBOX');
      await program.messageDelete(Array.from({ length: 50 }, (_, at) => 1 + at * 25).join(','));
    });
    const { ear, at } = await listen({ delayMs: 25 });
    const mailbox = await opened(made, at);
    ends.push(() => mailbox.close());
    ear.forget();
    const { mails, pages } = await catchUp(mailbox, null);
    assert.equal(mails.length, 1200);
    assert.deepEqual(
      pages.map((page) => page.mails.length),
      [1000, 200, 0],
    );
    const count = (name: string): number => ear.commands.filter((command) => command === name).length;
    assert.equal(count('UID FETCH'), 2);
    // One more for each of Sent and Archive.
    assert.equal(count('UID SEARCH'), 3);
    ear.forget();
    assert.deepEqual((await catchUp(mailbox, pages.at(-1)?.cursor ?? null)).mails, []);
    assert.equal(count('UID FETCH'), 0);
  });

  it('bounds heads without an end, and sees what stands behind them', async () => {
    const ids = Array.from({ length: 200_000 }, (_, at) => `<${at}.${'x'.repeat(30)}@example.org>`).join('\r\n ');
    const others = Array.from({ length: 5000 }, (_, at) => `X-Field-${at}: value ${at}\r\n`).join('');
    const people = Array.from({ length: 20_000 }, (_, at) => `p${at}@example.org`).join(',\r\n ');
    await host.deliver(ALICE, mail('references', `References: ${ids}\r\nAuto-Submitted: auto-replied\r\n`));
    await host.deliver(ALICE, mail('fields', `${others}Auto-Submitted: auto-replied\r\n`));
    await host.deliver(ALICE, mail('people', `Cc: ${people}\r\nAuto-Submitted: auto-replied\r\n`));
    const broken = Buffer.concat([
      Buffer.from('Message-ID: <broken@example.org>\r\nFrom: =?utf-8?Q?=FF=FE?= <kim@example.org>\r\nSubject: '),
      Buffer.from([0xff, 0xfe, 0x80, 0xe9]),
      Buffer.from(
        ' =?unknown-8?B?!!!?=\r\nAuto-Submitted: auto-replied\r\nIn-Reply-To: <a@example.org>\r\n\r\nHello\r\n',
      ),
    ]);
    await host.deliver(ALICE, broken);
    const mailbox = await watch();
    const { mails, pages } = await catchUp(mailbox, null);
    assert.equal(mails.length, 4);
    assert.deepEqual(
      pages.flatMap(({ skipped = [] }) => skipped),
      [],
    );
    for (const { head } of mails) {
      assert.ok(head.messageId !== null, head.subject);
      assert.deepEqual(
        head.from.map(({ email }) => email),
        ['kim@example.org'],
      );
      assert.ok(
        head.fields.some(([name, value]) => name === 'auto-submitted' && value === 'auto-replied'),
        head.subject,
      );
    }
    assert.deepEqual(mails[0]?.head.references[0], `<0.${'x'.repeat(30)}@example.org>`);
    assert.ok((mails[2]?.head.cc.length ?? 0) > 10);
    assert.deepEqual(mails[3]?.head.inReplyTo, ['<a@example.org>']);
  });

  it('has the first bytes of mails by one FETCH, and leaves them unread', async () => {
    for (const subject of ['one', 'two', 'three']) await host.deliver(ALICE, mail(subject));
    const { ear, at } = await listen();
    const mailbox = await opened(made, at);
    ends.push(() => mailbox.close());
    const { mails } = await catchUp(mailbox, null);
    await host.withProgram(ALICE, async (program) => {
      await program.mailboxOpen('INBOX');
      await program.messageDelete('2');
    });
    ear.forget();
    const places = mails.map(({ place }) => place);
    const found = await mailbox.beginnings([...places, 'nothing', '["INBOX","1",5]'], 100);
    assert.deepEqual([...found.keys()], [places[0], places[2]]);
    assert.equal(found.get(places[0] ?? '')?.length, 100);
    assert.match(found.get(places[2] ?? '')?.toString() ?? '', /^(Return-Path|Message-ID|Delivered-To)/);
    assert.equal(ear.commands.filter((command) => command === 'UID FETCH').length, 1);
    assert.equal(await mailbox.read(places[1] ?? ''), null);
    const content = await mailbox.read(places[0] ?? '');
    assert.deepEqual([content?.unread, content?.starred, content?.folders], [true, false, ['INBOX']]);
    assert.equal(content?.text?.trim(), 'Hello');
  });

  it('says that it broke where the server ends it', async () => {
    const mailbox = await watch();
    const { cursor } = await catchUp(mailbox, null);
    const ending = assert.rejects(nextCome(mailbox, cursor), isBroken('unreachable'));
    await host.kick(ALICE);
    await ending;
    await assert.rejects(mailbox.next(cursor), isBroken('unreachable'));
    await host.deliver(ALICE, mail('after the restart'));
    assert.deepEqual(subjects(await catchUp(await watch(), cursor)), ['after the restart']);
  });

  it('notices a server that stopped answering', async () => {
    const { ear, at } = await listen();
    const mailbox = await opened(made, at);
    ends.push(() => mailbox.close());
    const { cursor } = await catchUp(mailbox, null);
    ear.deafen();
    const began = Date.now();
    await assert.rejects(async () => {
      for (;;) {
        await mailbox.wait(AbortSignal.timeout(10_000));
        await catchUp(mailbox, cursor);
      }
    }, isBroken('unreachable'));
    assert.ok(Date.now() - began < 4000);
    await mailbox.close();
  });

  it('asks where the server tells nothing by itself', async () => {
    const { ear, at } = await listen({ without: 'IDLE' });
    const mailbox = await opened(made, at);
    ends.push(() => mailbox.close());
    const { cursor } = await catchUp(mailbox, null);
    await host.deliver(ALICE, mail('polled'));
    assert.deepEqual(subjects(await nextCome(mailbox, cursor)), ['polled']);
    assert.ok(!ear.commands.includes('IDLE'));
  });

  it('waits until it is told not to, and breaks when all is closed', async () => {
    const patient = hastyProvider(host.ca, { pollMs: 60_000 });
    ends.push(() => patient.close());
    const mailbox = await opened(patient, credentials());
    const { cursor } = await catchUp(mailbox, null);
    const leave = new AbortController();
    const waiting = mailbox.wait(leave.signal);
    await new Promise((resolve) => setTimeout(resolve, 50));
    leave.abort();
    await waiting;
    assert.deepEqual((await catchUp(mailbox, cursor)).mails, []);
    const again = mailbox.wait(AbortSignal.timeout(10_000));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await patient.close();
    await again.catch(() => {});
    await assert.rejects(mailbox.next(cursor), isBroken('unreachable'));
    assert.equal(await host.idling(ALICE), 0);
  });

  it('is not opened with a wrong password', async () => {
    const wrong = { ...credentials(), imap: { ...server(), password: 'wrong' } };
    await assert.rejects(opened(made, wrong), /^Error: unauthorised: localhost refused the login/);
  });
});
