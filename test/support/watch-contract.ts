// What every provider's mailbox has to do while it is watched and read.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { it } from 'node:test';
import type { Account, Provider } from '../../src/providers/provider.ts';
import {
  type Cursor,
  type FoundMail,
  type MailContent,
  type WantedMail,
  WatchBroken,
  type WatchedMailbox,
} from '../../src/providers/watch.ts';
import { accessTo, type Holder, sample } from './provider-contract.ts';

export interface WatchHarness {
  /** Puts a mail into the inbox, as from elsewhere. */
  arrive(raw: Buffer): Promise<void>;
  /** Moves a mail out of the inbox, where mails can be moved. */
  move?(messageId: string): Promise<void>;
}

export interface WatchGround<C> extends WatchHarness {
  readonly provider: Provider<C>;
  readonly account: Account;
  readonly wrongCredentials: C;
  readonly grant: Holder<C>;
}

const HOUR_MS = 3_600_000;
const PATIENCE_MS = 20_000;
const ANY: readonly WantedMail[] = [{ place: null, messageId: '<any@example.com>', withBody: true }];

/** The part of the provider contract about watching and reading, inside its suite. */
export function watchContract<C>(ground: () => Promise<WatchGround<C>>): void {
  it('finds a mail that arrives, once', async () => {
    const at = await ground();
    const mailbox = await openMailbox(at);
    const { cursor } = await catchUp(mailbox, null);
    const mail = letter('arrives');
    const waiting = mailbox.wait(AbortSignal.timeout(PATIENCE_MS));
    await at.arrive(mail.raw);
    await waiting;
    const came = await nextCome(mailbox, cursor);
    assert.deepEqual(
      came.mails.map(({ head, folder, isSent, isNew }) => [head.messageId, folder, isSent, isNew]),
      [[mail.messageId, 'INBOX', false, true]],
    );
    const [found] = came.mails;
    assert.deepEqual(found?.head.from, [{ name: 'Kim', email: 'kim@example.com' }]);
    assert.deepEqual(found?.head.inReplyTo, ['<root@example.com>']);
    assert.ok((found?.size ?? 0) >= mail.raw.length);
    assert.ok(Math.abs((found?.receivedAt.getTime() ?? 0) - Date.now()) < HOUR_MS);
    assert.deepEqual((await catchUp(mailbox, came.cursor)).mails, []);
    await mailbox.close();
  });

  it('finds what was sent, and says so', async () => {
    const at = await ground();
    const mailbox = await openMailbox(at);
    const { cursor } = await catchUp(mailbox, null);
    const mail = sample(at.account);
    const sent = await at.provider.send(at.account, at.grant.open(), mail, soon());
    assert.equal(sent.kind, 'sent');
    if (at.provider.wantsCopy(at.grant.now)) {
      const copy = { messageId: mail.messageId, raw: mail.raw };
      assert.equal((await at.provider.keepCopy(at.account, at.grant.open(), copy, soon())).kind, 'kept');
    }
    const { mails } = await nextCome(mailbox, cursor);
    assert.deepEqual(
      mails.map(({ head, folder, isSent }) => [head.messageId, folder, isSent]),
      [[mail.messageId, 'SENT', true]],
    );
    await mailbox.close();
  });

  it('goes on from a cursor when it is opened again', async () => {
    const at = await ground();
    const before = await openMailbox(at);
    await at.arrive(letter('known').raw);
    const { cursor } = await catchUp(before, null);
    await before.close();
    const mail = letter('meanwhile');
    await at.arrive(mail.raw);
    const mailbox = await openMailbox(at);
    const caught = await catchUp(mailbox, JSON.parse(JSON.stringify(cursor)));
    assert.deepEqual(
      caught.mails.map(({ head }) => head.messageId),
      [mail.messageId],
    );
    // What was not dealt with is told again.
    assert.equal((await catchUp(mailbox, cursor)).mails.length, 1);
    await mailbox.close();
  });

  it('passes over what came before', async () => {
    const at = await ground();
    await at.arrive(letter('old').raw);
    const mailbox = await openMailbox(at, new Date(Date.now() + 48 * HOUR_MS));
    assert.deepEqual((await catchUp(mailbox, null)).mails, []);
    await mailbox.close();
  });

  it('gives beginnings, and no more than was asked for', async () => {
    const at = await ground();
    const mailbox = await openMailbox(at);
    const { cursor } = await catchUp(mailbox, null);
    await at.arrive(letter('begins').raw);
    const [found] = (await nextCome(mailbox, cursor)).mails;
    assert.ok(found);
    const short = (await mailbox.beginnings([found.place], 50)).get(found.place);
    const whole = (await mailbox.beginnings([found.place], 100_000)).get(found.place);
    assert.equal(short?.length, 50);
    assert.deepEqual(whole?.subarray(0, 50), short);
    assert.match(whole?.toString() ?? '', /Hello there/);
    assert.equal((await mailbox.beginnings([], 50)).size, 0);
    await mailbox.close();
  });

  it('reads a mail where it lies, by its Message-ID, and where it was moved to', async () => {
    const at = await ground();
    const mailbox = await openMailbox(at);
    const { cursor } = await catchUp(mailbox, null);
    const mail = letter('is read');
    await at.arrive(mail.raw);
    const [found] = (await nextCome(mailbox, cursor)).mails;
    assert.ok(found);
    assertContent(await mailbox.read(found.place), mail.messageId);
    const { place } = found;
    const { messageId } = mail;
    const [byPlace, byId, either, headOnly, nowhere, unknown] = await read(at, [
      { place, messageId: null, withBody: true },
      { place: null, messageId, withBody: true },
      { place, messageId, withBody: true },
      { place, messageId, withBody: false },
      { place: null, messageId: `<${randomUUID()}@example.com>`, withBody: true },
      { place: 'of another kind', messageId: null, withBody: true },
    ]);
    for (const content of [byPlace, byId, either]) assertContent(content, messageId);
    assert.deepEqual([headOnly?.head.messageId, headOnly?.html, headOnly?.text], [messageId, null, null]);
    assert.deepEqual([nowhere, unknown], [null, null]);
    assert.equal((await read(at, [{ place, messageId, withBody: false }]))[0]?.unread, true);
    if (at.move !== undefined) {
      await at.move(messageId);
      const [moved, lost] = await read(at, [
        { place, messageId, withBody: true },
        { place, messageId: null, withBody: true },
      ]);
      assert.ok(moved);
      assert.match(moved.text ?? '', /Hello there/);
      assert.notEqual(moved.place, place);
      assert.doesNotMatch(moved.folders.join(' '), /INBOX$/);
      assert.equal(lost, null);
    }
    await mailbox.close();
  });

  it('opens for nobody else, and not once the time is over', async () => {
    const { provider, account, grant, wrongCredentials } = await ground();
    const order = { folders: [], since: new Date() };
    const wrong = accessTo(wrongCredentials);
    assert.equal((await provider.watch(account, wrong, order, soon())).kind, 'unauthorised');
    assert.equal((await provider.read(account, wrong, ANY, soon())).kind, 'unauthorised');
    const late = AbortSignal.abort();
    assert.equal((await provider.watch(account, grant.open(), order, late)).kind, 'unreachable');
    assert.equal((await provider.read(account, grant.open(), ANY, late)).kind, 'unreachable');
  });

  it('waits no longer than it is told to, and is closed more than once', async () => {
    const mailbox = await openMailbox(await ground());
    await catchUp(mailbox, null);
    await mailbox.wait(AbortSignal.abort());
    const controller = new AbortController();
    const waiting = mailbox.wait(controller.signal);
    controller.abort();
    await waiting;
    await mailbox.close();
    await mailbox.close();
  });
}

/** What was opened before says that it is over, and nothing can be opened any more. */
export async function assertClosed<C>(
  { provider, account, grant }: WatchGround<C>,
  mailbox: WatchedMailbox,
  cursor: Cursor,
): Promise<void> {
  const late = AbortSignal.timeout(PATIENCE_MS);
  await assert.rejects(
    async () => {
      for (let at = cursor; !late.aborted; at = (await mailbox.next(at)).cursor) await mailbox.wait(late);
    },
    (error) => error instanceof WatchBroken && /^\S.*[^.\s]$/.test(error.message),
  );
  await mailbox.close();
  const order = { folders: [], since: new Date() };
  assert.equal((await provider.watch(account, grant.open(), order, soon())).kind, 'unauthorised');
  assert.equal((await provider.read(account, grant.open(), ANY, soon())).kind, 'unauthorised');
}

export async function openMailbox<C>(
  { provider, account, grant }: WatchGround<C>,
  since: Date = new Date(Date.now() - HOUR_MS),
): Promise<WatchedMailbox> {
  const outcome = await provider.watch(account, grant.open(), { folders: [], since }, soon());
  if (outcome.kind !== 'open') assert.fail(`${outcome.kind}: ${outcome.reason}`);
  return outcome.mailbox;
}

interface Caught {
  readonly mails: readonly FoundMail[];
  readonly cursor: Cursor;
}

/** Everything that is there now. */
export async function catchUp(mailbox: WatchedMailbox, from: Cursor | null): Promise<Caught> {
  const mails: FoundMail[] = [];
  for (let cursor = from; ; ) {
    const page = await mailbox.next(cursor);
    mails.push(...page.mails);
    cursor = page.cursor;
    if (page.isLast) return { mails, cursor };
  }
}

/** Waits until something comes. */
async function nextCome(mailbox: WatchedMailbox, from: Cursor): Promise<Caught> {
  const late = AbortSignal.timeout(PATIENCE_MS);
  for (let caught = await catchUp(mailbox, from); ; caught = await catchUp(mailbox, caught.cursor)) {
    if (caught.mails.length > 0) return caught;
    if (late.aborted) assert.fail('nothing came');
    await mailbox.wait(late);
  }
}

async function read<C>(at: WatchGround<C>, wanted: readonly WantedMail[]): Promise<readonly (MailContent | null)[]> {
  const outcome = await at.provider.read(at.account, at.grant.open(), wanted, soon());
  if (outcome.kind !== 'read') assert.fail(`${outcome.kind}: ${outcome.reason}`);
  return outcome.mails;
}

function assertContent(content: MailContent | null | undefined, messageId: string): void {
  assert.ok(content);
  assert.equal(content.head.messageId, messageId);
  assert.match(content.text ?? '', /^Hello there/);
  assert.equal(content.html?.trim(), '<p>Hello there, Zażółć</p>');
  assert.deepEqual(content.folders, ['INBOX']);
  assert.equal(content.starred, false);
  assert.deepEqual(
    content.attachments.map(({ part, filename, contentType, isInline }) => [part, filename, contentType, isInline]),
    [['2', 'a.bin', 'application/octet-stream', false]],
  );
  // Some servers tell the encoded size alone.
  assert.ok(Math.abs((content.attachments[0]?.size ?? 0) - 6) <= 3);
}

function letter(subject: string): { readonly messageId: string; readonly raw: Buffer } {
  const messageId = `<${randomUUID()}@example.com>`;
  const lines = [
    'From: Kim <kim@example.com>',
    'To: Sender <sender@example.com>',
    `Subject: ${subject}`,
    `Message-ID: ${messageId}`,
    'In-Reply-To: <root@example.com>',
    `Date: ${new Date().toUTCString()}`,
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary="outer"',
    '',
    '--outer',
    'Content-Type: multipart/alternative; boundary="inner"',
    '',
    '--inner',
    'Content-Type: text/plain; charset=utf-8',
    '',
    'Hello there',
    '--inner',
    'Content-Type: text/html; charset=utf-8',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    '<p>Hello there, Za=C5=BC=C3=B3=C5=82=C4=87</p>',
    '--inner--',
    '--outer',
    'Content-Type: application/octet-stream; name="a.bin"',
    'Content-Disposition: attachment; filename="a.bin"',
    'Content-Transfer-Encoding: base64',
    '',
    'AAECAwQF',
    '--outer--',
    '',
  ];
  return { messageId, raw: Buffer.from(lines.join('\r\n')) };
}

function soon(): AbortSignal {
  return AbortSignal.timeout(10_000);
}
