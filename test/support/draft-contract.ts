// What every provider has to do with drafts, where they can stand in its mailboxes.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { it } from 'node:test';
import { wholeOf } from '../../src/providers/mail-bytes.ts';
import type { Account, CopyOutcome, DraftCopy } from '../../src/providers/provider.ts';
import { accessTo } from './provider-contract.ts';
import { largeSample } from './streamed-contract.ts';
import { catchUp, openMailbox, type WatchGround } from './watch-contract.ts';

export interface DraftHarness {
  /** The Drafts folder, where there is one. */
  readonly drafts?: DraftsFolder;
}

export interface DraftsFolder {
  list(): Promise<readonly Buffer[]>;
  /** As another program of the owner does. */
  put(raw: Buffer): Promise<void>;
}

type DraftGround<C> = DraftHarness & WatchGround<C>;

/** The part of the provider contract about drafts, inside its suite. */
export function draftContract<C>(ground: () => Promise<DraftGround<C>>): void {
  it('keeps a draft once, byte for byte, in its newest version, until it is removed', async () => {
    const { keep, lying } = await at(ground);
    const draft = randomUUID();
    assert.deepEqual(await keep({ draft, version: null }), { kind: 'there' });
    const first = version(draft, 1);
    assert.deepEqual(await keep({ draft, version: first }), { kind: 'kept' });
    assert.deepEqual(await lying(draft), [first.raw.toString()]);
    assert.deepEqual(await keep({ draft, version: first }), { kind: 'there' });
    assert.deepEqual(await lying(draft), [first.raw.toString()]);
    const second = version(draft, 2);
    assert.deepEqual(await keep({ draft, version: second }), { kind: 'kept' });
    assert.deepEqual(await lying(draft), [second.raw.toString()]);
    assert.deepEqual(await keep({ draft, version: null }), { kind: 'kept' });
    assert.deepEqual(await lying(draft), []);
    assert.deepEqual(await keep({ draft, version: null }), { kind: 'there' });
  });

  it('keeps the versions of several drafts apart when they are kept at once', async () => {
    const { keep, lying } = await at(ground);
    const drafts = [randomUUID(), randomUUID(), randomUUID()];
    for (const number of [1, 2]) {
      const outcomes = await Promise.all(drafts.map((draft) => keep({ draft, version: version(draft, number) })));
      assert.deepEqual(
        outcomes.map(({ kind }) => kind),
        ['kept', 'kept', 'kept'],
      );
    }
    for (const draft of drafts) assert.deepEqual(await lying(draft), [version(draft, 2).raw.toString()]);
    for (const draft of drafts) assert.equal((await keep({ draft, version: null })).kind, 'kept');
  });

  it('makes good what a call was cut off in', async () => {
    const { keep, lying, put } = await at(ground);
    const draft = randomUUID();
    const [first, second, third] = [version(draft, 1), version(draft, 2), version(draft, 3)];
    for (const { raw } of [first, second]) await put(raw); // appended, and the older one not removed
    assert.deepEqual(await keep({ draft, version: second }), { kind: 'kept' });
    assert.deepEqual(await lying(draft), [second.raw.toString()]);
    assert.deepEqual(await keep({ draft, version: second }), { kind: 'there' });
    for (const { raw } of [second, first, third]) await put(raw); // appended without the answer, and by two at once
    assert.deepEqual(await keep({ draft, version: third }), { kind: 'kept' });
    assert.deepEqual(await lying(draft), [third.raw.toString()]);
    for (const { raw } of [first, third]) await put(raw);
    assert.deepEqual(await keep({ draft, version: null }), { kind: 'kept' });
    assert.deepEqual(await lying(draft), []);
  });

  it('leaves alone whatever else lies in Drafts', async () => {
    const { keep, lying, put } = await at(ground);
    const draft = randomUUID();
    const { messageId } = version(draft, 1);
    const others = [
      letter('<own@example.com>', `In-Reply-To: ${messageId}\r\nReferences: ${messageId}`),
      letter(`<x${draft}.1@example.com>`),
      letter(`<${draft}1.1@example.com>`),
      letter(`<reply.${draft}.1@example.com>`, `X-Of: <${draft}.1@example.com>`),
      Buffer.from(`From: kim@example.com\r\nSubject: ${draft} without an id\r\n\r\n${messageId}\r\n`),
    ];
    for (const raw of others) await put(raw);
    const texts = others.map(String).sort();
    assert.deepEqual(await keep({ draft, version: null }), { kind: 'there' });
    for (const number of [1, 2]) {
      const kept = version(draft, number);
      assert.deepEqual(await keep({ draft, version: kept }), { kind: 'kept' });
      assert.deepEqual(await lying(draft), [...texts, kept.raw.toString()].sort());
    }
    assert.deepEqual(await keep({ draft, version: null }), { kind: 'kept' });
    assert.deepEqual(await lying(draft), texts);
  });

  it('keeps a draft that is read piece by piece, and the older version where it cannot be read', async () => {
    const { keep, lying, account } = await at(ground);
    const draft = randomUUID();
    const first = version(draft, 1);
    assert.deepEqual(await keep({ draft, version: first }), { kind: 'kept' });
    const mail = largeSample(account, `<${draft}.2@example.com>`);
    const broken = { ...mail, raw: { ...mail.raw, size: mail.raw.size + 1 } };
    assert.equal((await keep({ draft, version: broken })).kind, 'unreachable');
    assert.deepEqual(await lying(draft), [first.raw.toString()]);
    assert.deepEqual(await keep({ draft, version: mail }), { kind: 'kept' });
    const found = await lying(draft);
    assert.equal(found.length, 1);
    assert.ok(found[0] === (await wholeOf(mail.raw)).toString(), 'the mail is another');
    assert.deepEqual(await keep({ draft, version: mail }), { kind: 'there' });
    assert.deepEqual(await keep({ draft, version: null }), { kind: 'kept' });
  });

  it('takes no draft for a mail that was received or sent', async () => {
    const made = await ground();
    const { keep } = await at(async () => made);
    const mailbox = await openMailbox(made);
    const { cursor } = await catchUp(mailbox, null);
    const draft = randomUUID();
    const { messageId } = version(draft, 1);
    await keep({ draft, version: version(draft, 1) });
    assert.deepEqual((await catchUp(mailbox, cursor)).mails, []);
    assert.deepEqual(
      (await catchUp(mailbox, null)).mails.filter(({ head }) => head.messageId === messageId),
      [],
    );
    const { provider, account, grant } = made;
    assert.notEqual((await provider.findSent(account, grant.open(), messageId, soon())).kind, 'found');
    await keep({ draft, version: null });
    assert.deepEqual((await catchUp(mailbox, cursor)).mails, []);
    await mailbox.close();
  });

  it('keeps no draft for others, and none once the time is over', async () => {
    const { provider, account, grant, wrongCredentials, drafts } = await ground();
    if (!provider.wantsDrafts(grant.now)) return;
    const draft = randomUUID();
    const before = (await drafts?.list())?.length;
    for (const each of [version(draft, 1), null]) {
      const copy = { draft, version: each };
      assert.equal((await provider.keepDraft(account, accessTo(wrongCredentials), copy, soon())).kind, 'unauthorised');
      assert.equal((await provider.keepDraft(account, grant.open(), copy, AbortSignal.abort())).kind, 'unreachable');
    }
    assert.equal((await drafts?.list())?.length, before);
  });
}

interface Desk {
  readonly account: Account;
  keep(copy: DraftCopy): Promise<CopyOutcome>;
  put(raw: Buffer): Promise<void>;
  /** The mails in Drafts in which the draft is named, in the order of their texts. */
  lying(draft: string): Promise<string[]>;
}

async function at<C>(ground: () => Promise<DraftGround<C>>): Promise<Desk> {
  const { provider, account, grant, drafts } = await ground();
  assert.ok(drafts, 'the harness shows no Drafts folder');
  return {
    account,
    keep: (copy) => provider.keepDraft(account, grant.open(), copy, soon()),
    put: (raw) => drafts.put(raw),
    lying: async (draft) =>
      (await drafts.list())
        .filter((mail) => mail.includes(draft))
        .map(String)
        .sort(),
  };
}

function version(draft: string, number: number): { readonly messageId: string; readonly raw: Buffer } {
  const messageId = `<${draft}.${number}@example.com>`;
  return { messageId, raw: letter(messageId) };
}

function letter(messageId: string, ...fields: readonly string[]): Buffer {
  const lines = [
    'From: sender@example.com',
    'To: Kim <kim@example.com>',
    'Bcc: hidden@example.com',
    'Subject: A draft',
    `Message-ID: ${messageId}`,
    ...fields,
    'Date: Fri, 21 Nov 2026 10:00:00 +0000',
    '',
    'Not yet',
    '',
  ];
  return Buffer.from(lines.join('\r\n'));
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}
