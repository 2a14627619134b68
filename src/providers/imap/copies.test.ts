import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { type BareMail, type BareMailOptions, startBareMail } from '../../../test/support/bare-mail.ts';
import { account, bareProvider, soon } from '../../../test/support/bare-provider.ts';
import { accessTo, sample } from '../../../test/support/provider-contract.ts';

describe('copies in Sent', () => {
  let mail: BareMail;
  const { provider, close } = bareProvider();
  const keep = (signal = soon(), copy = sample(account)): ReturnType<typeof provider.keepCopy> =>
    provider.keepCopy(account, accessTo(mail.credentials), copy, signal);

  before(async () => {
    mail = await startBareMail();
  });
  afterEach(() => {
    mail.faults.append = null;
    mail.cut();
  });
  after(async () => {
    await close();
    await mail.close();
  });

  it('logs in once for a burst of copies, reading them and with the date of the mail', async () => {
    const before = mail.logins.imap;
    const outcomes = await Promise.all([1, 2, 3, 4, 5].map(() => keep()));
    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ['kept', 'kept', 'kept', 'kept', 'kept'],
    );
    assert.equal(mail.logins.imap, before + 1);
    const mark = mail.marks('Sent').at(-1);
    assert.deepEqual(mark?.flags, ['\\Seen']);
    assert.equal(new Date(mark?.date ?? '').getTime(), Date.UTC(2026, 10, 21, 10));
  });

  it('goes on in a new session where the kept one was ended', async () => {
    assert.equal((await keep()).kind, 'kept');
    mail.cut();
    assert.equal((await keep()).kind, 'kept');
  });

  it('keeps one copy where the connection ended before the answer', async () => {
    const copy = sample(account);
    mail.faults.append = 'cut-after';
    assert.equal((await keep(soon(), copy)).kind, 'unreachable');
    mail.faults.append = null;
    assert.equal((await keep(soon(), copy)).kind, 'there');
    mail.faults.append = 'cut';
    const other = sample(account);
    assert.equal((await keep(soon(), other)).kind, 'unreachable');
    mail.faults.append = null;
    assert.equal((await keep(soon(), other)).kind, 'kept');
  });

  const answers = [
    ['NO [OVERQUOTA] Quota exceeded (mailbox for user is full)', 'full'],
    ['NO [ALERT] Mailbox is full: storage space exhausted', 'full'],
    ['NO [LIMIT] Too many messages in this folder', 'refused'],
    ['NO [NOPERM] Permission denied', 'refused'],
    ['NO [TOOBIG] Message is too large', 'refused'],
    ['BAD Error in IMAP command APPEND', 'refused'],
    ['NO [UNAVAILABLE] Backend is restarting', 'unreachable'],
    ['NO [SERVERBUG] Internal error occurred. Refer to server log for more information.', 'unreachable'],
  ] as const;
  for (const [answer, kind] of answers) {
    it(`takes the answer ${answer} to a copy for ${kind}`, async () => {
      mail.faults.append = answer;
      const outcome = await keep();
      assert.equal(outcome.kind, kind);
      assert.match('reason' in outcome ? outcome.reason : '', /^[^\r\n]+[^.]$/);
    });
  }

  it('gives up the moment the time is over, and leaves no connection behind', async () => {
    const controller = new AbortController();
    mail.faults.append = 'hang';
    const going = keep(controller.signal);
    await mail.appending();
    controller.abort();
    assert.equal((await going).kind, 'unreachable');
    mail.faults.append = null;
    assert.equal((await keep()).kind, 'kept');
  });

  it('gives no copy to a mailbox whose mail server files what it sends', async () => {
    for (const host of ['smtp.gmail.com', 'SMTP.Office365.com', 'smtp-mail.outlook.com']) {
      const credentials = { ...mail.credentials, smtp: { ...mail.credentials.smtp, host } };
      assert.equal(provider.wantsCopy(credentials), false);
      assert.deepEqual(await provider.keepCopy(account, accessTo(credentials), sample(account), soon()), {
        kind: 'there',
      });
    }
    assert.equal(provider.wantsCopy(mail.credentials), true);
  });
});

describe('the Sent folder', () => {
  const { provider, close } = bareProvider();
  const open: BareMail[] = [];
  const start = async (options: BareMailOptions): Promise<BareMail> => {
    const mail = await startBareMail(options);
    open.push(mail);
    return mail;
  };
  const keep = async (mail: BareMail, copy = sample(account)): Promise<string> =>
    (await provider.keepCopy(account, accessTo(mail.credentials), copy, soon())).kind;
  after(async () => {
    await close();
    await Promise.all(open.map((mail) => mail.close()));
  });

  it('is made where there is none, and once', async () => {
    const mail = await start({ sent: null });
    const { messageId } = sample(account);
    const found = await provider.findSent(account, accessTo(mail.credentials), messageId, soon());
    assert.deepEqual(found, { kind: 'unsure' });
    assert.deepEqual([await keep(mail), await keep(mail)], ['kept', 'kept']);
    assert.equal(mail.folder('Sent').length, 2);
  });

  it('is known by what the server says of it', async () => {
    const mail = await start({ sent: { path: 'Afgeleverd/Vorig jaar', special: true } });
    assert.equal(await keep(mail), 'kept');
    assert.equal(mail.folder('Afgeleverd/Vorig jaar').length, 1);
  });

  for (const path of ['Gesendete Objekte', 'sent items', '送信済み', 'mail/Sent']) {
    it(`is known by its name: ${path}`, async () => {
      const mail = await start({ sent: { path: utf7(path), special: false } });
      assert.equal(await keep(mail), 'kept');
      assert.equal(mail.folder(utf7(path)).length, 1);
    });
  }

  it('is not an archive that has such a name further down', async () => {
    const mail = await start({ sent: { path: 'Archive/2025/Sent', special: false } });
    assert.equal(await keep(mail), 'kept');
    assert.equal(mail.folder('Archive/2025/Sent').length, 0);
    assert.equal(mail.folder('Sent').length, 1);
  });

  it('proves that a mail was not sent on Gmail alone', async () => {
    const gmail = await start({ gmail: true, host: 'smtp.gmail.com' });
    const sent = sample(account);
    gmail.put('Sent', sent.raw);
    const find = async (mail: BareMail, messageId: string): Promise<string> =>
      (await provider.findSent(account, accessTo(mail.credentials), messageId, soon())).kind;
    assert.equal(await find(gmail, sent.messageId), 'found');
    assert.equal(await find(gmail, '<never@example.com>'), 'absent');
    // Sent by another service than the one that shows the mailbox.
    assert.equal(await find(await start({ gmail: true }), '<never@example.com>'), 'unsure');
    assert.equal(await find(await start({ host: 'smtp.gmail.com' }), '<never@example.com>'), 'unsure');
  });
});

/** As folders are named on the wire (RFC 3501 section 5.1.3), for the one name here that needs it. */
function utf7(path: string): string {
  return path === '送信済み' ? '&kAFP4W4IMH8-' : path;
}
