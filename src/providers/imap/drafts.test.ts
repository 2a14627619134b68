import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { type BareMail, type BareMailOptions, startBareMail } from '../../../test/support/bare-mail.ts';
import { account, bareProvider, soon } from '../../../test/support/bare-provider.ts';
import { accessTo } from '../../../test/support/provider-contract.ts';
import { catchUp, opened } from '../../../test/support/watching.ts';
import type { CopyOutcome, DraftCopy, ImapCredentials } from '../provider.ts';

const made = bareProvider();
const { provider } = made;
const open: BareMail[] = [];
after(async () => {
  await made.close();
  await Promise.all(open.map((mail) => mail.close()));
});

async function start(options: BareMailOptions = {}): Promise<BareMail> {
  const mail = await startBareMail(options);
  open.push(mail);
  return mail;
}

function keep(mail: BareMail, copy: DraftCopy): Promise<CopyOutcome> {
  return provider.keepDraft(account, accessTo(mail.credentials), copy, soon());
}

function version(draft: string, number: number): { readonly messageId: string; readonly raw: Buffer } {
  const messageId = `<${draft}.${number}@bare.test>`;
  const date = 'Date: Fri, 21 Nov 2026 10:00:00 +0000';
  return { messageId, raw: Buffer.from(`Message-ID: ${messageId}\r\n${date}\r\nSubject: Draft\r\n\r\nNot yet\r\n`) };
}

const OTHER = Buffer.from('Message-ID: <other@bare.test>\r\nSubject: Other\r\n\r\nOther\r\n');

function texts(mail: BareMail, path = 'Drafts'): string[] {
  return mail.folder(path).map((raw) => /Message-ID: (\S+)/.exec(raw.toString())?.[1] ?? '');
}

describe('drafts', () => {
  it('are marked as such, read, and dated as they were written', async () => {
    const mail = await start();
    const draft = randomUUID();
    assert.equal((await keep(mail, { draft, version: version(draft, 1) })).kind, 'kept');
    const [mark] = mail.marks('Drafts');
    assert.deepEqual([...(mark?.flags ?? [])].sort(), ['\\Draft', '\\Seen']);
    assert.equal(new Date(mark?.date ?? '').getTime(), Date.UTC(2026, 10, 21, 10));
  });

  it('are told nowhere, whichever folders are watched', async () => {
    for (const gmail of [false, true]) {
      const mail = await start({ gmail });
      const draft = randomUUID();
      await keep(mail, { draft, version: version(draft, 1) });
      if (gmail) mail.put('All Mail', version(draft, 1).raw, ['\\Draft']);
      const mailbox = await opened(made, mail.credentials, { folders: ['*', 'Drafts'] });
      mail.put('INBOX', OTHER);
      if (gmail) mail.put('All Mail', OTHER, ['\\Inbox']);
      const { mails } = await catchUp(mailbox, null);
      assert.deepEqual(
        mails.map(({ head }) => head.subject),
        ['Other'],
      );
      await mailbox.close();
    }
  });

  it('are searched for among many', async () => {
    const mail = await start({ uidPlus: true });
    const draft = randomUUID();
    assert.equal((await keep(mail, { draft, version: version(draft, 1) })).kind, 'kept');
    for (let count = 0; count < 150; count++) mail.put('Drafts', OTHER);
    mail.put('Drafts', Buffer.from(`Message-ID: <re.${draft}.1@bare.test>\r\n\r\nQuoted\r\n`));
    assert.equal((await keep(mail, { draft, version: version(draft, 1) })).kind, 'there');
    assert.equal((await keep(mail, { draft, version: version(draft, 2) })).kind, 'kept');
    assert.deepEqual(texts(mail).slice(-2), [`<re.${draft}.1@bare.test>`, `<${draft}.2@bare.test>`]);
    assert.equal(texts(mail).length, 152);
  });

  it('that another program has marked to be removed count as removed', async () => {
    const mail = await start();
    const draft = randomUUID();
    mail.put('Drafts', version(draft, 1).raw, [], ['\\Deleted']);
    assert.equal((await keep(mail, { draft, version: version(draft, 1) })).kind, 'kept');
    assert.deepEqual(texts(mail), [`<${draft}.1@bare.test>`]);
    assert.ok(!mail.marks('Drafts')[0]?.flags.includes('\\Deleted'));
  });

  it('take nothing with them that their owner has only marked', async () => {
    const draft = randomUUID();
    const plain = await start();
    plain.put('Drafts', OTHER, [], ['\\Deleted']);
    plain.put('Drafts', version(draft, 1).raw);
    assert.equal((await keep(plain, { draft, version: version(draft, 2) })).kind, 'kept');
    // Without UIDPLUS the old version can only be marked.
    assert.deepEqual(texts(plain), ['<other@bare.test>', `<${draft}.1@bare.test>`, `<${draft}.2@bare.test>`]);
    assert.deepEqual(
      plain.marks('Drafts').map(({ flags }) => flags.includes('\\Deleted')),
      [true, true, false],
    );
    assert.equal((await keep(plain, { draft, version: version(draft, 2) })).kind, 'there');
    assert.equal(texts(plain).length, 3);

    const exact = await start({ uidPlus: true });
    exact.put('Drafts', OTHER, [], ['\\Deleted']);
    exact.put('Drafts', version(draft, 1).raw);
    assert.equal((await keep(exact, { draft, version: version(draft, 2) })).kind, 'kept');
    assert.deepEqual(texts(exact), ['<other@bare.test>', `<${draft}.2@bare.test>`]);
  });

  it('leave Gmail by its trash, and nothing else does', async () => {
    const mail = await start({ gmail: true });
    const [draft, thrown] = [randomUUID(), randomUUID()];
    mail.put('Trash', OTHER);
    mail.put('Trash', version(thrown, 1).raw);
    for (const number of [1, 2, 3]) {
      assert.equal((await keep(mail, { draft, version: version(draft, number) })).kind, 'kept');
      assert.deepEqual(texts(mail), [`<${draft}.${number}@bare.test>`]);
    }
    assert.equal((await keep(mail, { draft, version: null })).kind, 'kept');
    assert.equal((await keep(mail, { draft, version: null })).kind, 'there');
    assert.deepEqual(texts(mail), []);
    assert.deepEqual(texts(mail, 'Trash'), ['<other@bare.test>', `<${thrown}.1@bare.test>`]);
  });

  it('stand there once where the connection ended before the answer', async () => {
    const mail = await start();
    const draft = randomUUID();
    mail.put('Drafts', version(draft, 1).raw);
    mail.faults.append = 'cut-after';
    assert.equal((await keep(mail, { draft, version: version(draft, 2) })).kind, 'unreachable');
    assert.deepEqual(texts(mail), [`<${draft}.1@bare.test>`, `<${draft}.2@bare.test>`]);
    mail.faults.append = null;
    assert.equal((await keep(mail, { draft, version: version(draft, 2) })).kind, 'kept');
    assert.deepEqual(texts(mail), [`<${draft}.2@bare.test>`]);
    mail.faults.append = 'NO [OVERQUOTA] Quota exceeded';
    assert.equal((await keep(mail, { draft, version: version(draft, 3) })).kind, 'full');
    mail.faults.append = 'NO [TOOBIG] Message is too large';
    assert.equal((await keep(mail, { draft, version: version(draft, 3) })).kind, 'refused');
    assert.deepEqual(texts(mail), [`<${draft}.2@bare.test>`]);
  });

  it('are not asked of a mailbox without IMAP', async () => {
    const mail = await start();
    const credentials: ImapCredentials = { ...mail.credentials, imap: null };
    const draft = randomUUID();
    const ask = (copy: DraftCopy): Promise<CopyOutcome> =>
      provider.keepDraft(account, accessTo(credentials), copy, soon());
    assert.equal(provider.wantsDrafts(credentials), false);
    assert.equal(provider.wantsDrafts(mail.credentials), true);
    assert.equal((await ask({ draft, version: version(draft, 1) })).kind, 'refused');
    assert.deepEqual(await ask({ draft, version: null }), { kind: 'there' });
  });
});

describe('the Drafts folder', () => {
  for (const drafts of [
    { path: 'Concepten/Nu nog', special: true },
    { path: 'Entw&APw-rfe', special: false },
    { path: 'mail/Drafts', special: false },
  ]) {
    it(`is known: ${drafts.path}`, async () => {
      const mail = await start({ drafts });
      const draft = randomUUID();
      assert.equal((await keep(mail, { draft, version: version(draft, 1) })).kind, 'kept');
      assert.deepEqual(texts(mail, drafts.path), [`<${draft}.1@bare.test>`]);
    });
  }

  for (const drafts of [null, { path: 'Archive/2025/Drafts', special: false }]) {
    it(`is made only to keep something: ${drafts?.path ?? 'none'}`, async () => {
      const mail = await start({ drafts });
      const draft = randomUUID();
      if (drafts !== null) mail.put(drafts.path, version(draft, 1).raw);
      assert.equal((await keep(mail, { draft, version: null })).kind, 'there');
      assert.deepEqual(texts(mail), []);
      for (const number of [1, 2]) {
        assert.equal((await keep(mail, { draft, version: version(draft, number) })).kind, 'kept');
        assert.deepEqual(texts(mail), [`<${draft}.${number}@bare.test>`]);
      }
      if (drafts !== null) assert.equal(mail.folder(drafts.path).length, 1);
    });
  }
});
