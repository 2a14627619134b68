import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { MailContent, WantedMail } from '../../src/providers/watch.ts';
import { ALICE, type MailHost, noDovecot, startMailHost } from '../support/dovecot.ts';
import { type ImapEar, startImapEar } from '../support/imap-ear.ts';
import { accessTo } from '../support/provider-contract.ts';
import { account, catchUp, hastyProvider, opened, plainMailbox } from '../support/watching.ts';

const skip = noDovecot();

function headed(id: string, more: string): string {
  return `Message-ID: <${id}@example.org>\r\nFrom: Kim <kim@example.org>\r\nTo: ${ALICE}\r\nSubject: ${id}\r\nMIME-Version: 1.0\r\n${more}`;
}

const plain = (id: string, text = 'Hello'): string => headed(id, `Content-Type: text/plain\r\n\r\n${text}\r\n`);

const MIXED = headed(
  'mixed',
  [
    'Content-Type: multipart/mixed; boundary=outer',
    '',
    '--outer',
    'Content-Type: multipart/related; boundary=related',
    '',
    '--related',
    'Content-Type: multipart/alternative; boundary=inner',
    '',
    '--inner',
    'Content-Type: text/plain; charset=iso-8859-1',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    'Gr=FC=DFe',
    '--inner',
    'Content-Type: text/html; charset=iso-8859-1',
    'Content-Transfer-Encoding: base64',
    '',
    Buffer.from('<p>\xe9</p>', 'latin1').toString('base64'),
    '--inner--',
    '--related',
    'Content-Type: image/png; name=pixel.png',
    'Content-ID: <pixel@here>',
    'Content-Transfer-Encoding: base64',
    '',
    Buffer.alloc(570).toString('base64').replace(/.{76}/g, '$&\r\n'),
    '--related--',
    '--outer',
    'Content-Type: application/pdf',
    "Content-Disposition: attachment; filename*=utf-8''%C3%9Cbersicht.pdf",
    '',
    'pdf',
    '--outer',
    'Content-Type: message/rfc822',
    '',
    plain('within', 'not to be read'),
    '--outer--',
    '',
  ].join('\r\n'),
);

function nested(levels: number): string {
  const opening = Array.from(
    { length: levels },
    (_, at) => `Content-Type: multipart/mixed; boundary=b${at}\r\n\r\n--b${at}\r\n`,
  );
  return headed('nested', `${opening.join('')}Content-Type: text/plain\r\n\r\ndeep\r\n`);
}

describe('mails read on Dovecot', { skip }, () => {
  let host: MailHost;
  let ear: ImapEar;
  let made: ReturnType<typeof hastyProvider>;
  let places: ReadonlyMap<string | null, string>;
  const credentials = () => plainMailbox(ear.port, ALICE, host.owners.get(ALICE)?.password ?? '');
  const read = async (wanted: readonly WantedMail[]): Promise<readonly (MailContent | null)[]> => {
    ear.forget();
    const outcome = await made.provider.read(account, accessTo(credentials()), wanted, AbortSignal.timeout(20_000));
    if (outcome.kind !== 'read') throw new Error(outcome.reason);
    return outcome.mails;
  };
  const byPlace = (id: string): WantedMail => ({
    place: places.get(`<${id}@example.org>`) ?? '',
    messageId: null,
    withBody: true,
  });
  const count = (name: string): number => ear.commands.filter((command) => command === name).length;

  before(async () => {
    host = await startMailHost();
    made = hastyProvider(host.ca);
    ear = await startImapEar(host.ports.imap);
    await host.withProgram(ALICE, async (program) => {
      await program.append('INBOX', MIXED, ['\\Flagged']);
      await program.append('INBOX', nested(1000));
      await program.append('INBOX', plain('first'), ['\\Seen']);
      for (let at = 0; at < 50; at++) await program.append('INBOX', plain(`many-${at}`, `text ${at}`));
      await program.append('INBOX', plain('wandering'));
      await program.append('Sent', plain('sent'));
      await program.mailboxCreate('Far');
    });
    const mailbox = await opened(made, credentials());
    const { mails } = await catchUp(mailbox, null);
    places = new Map(mails.map(({ head, place }) => [head.messageId, place]));
    await mailbox.close();
  });
  after(async () => {
    await made.close();
    await ear.close();
    await host.close();
  });

  it('decodes both bodies and lists what is attached', async () => {
    const [mail] = await read([byPlace('mixed')]);
    assert.equal(mail?.text?.trim(), 'Grüße');
    assert.equal(mail?.html?.trim(), '<p>é</p>');
    assert.deepEqual([mail?.unread, mail?.starred, mail?.folders], [true, true, ['INBOX']]);
    assert.deepEqual(
      mail?.attachments.map(({ part, filename, contentType, isInline, contentId, size }) => [
        part,
        filename,
        contentType,
        isInline,
        contentId,
        size,
      ]),
      [
        ['1.2', 'pixel.png', 'image/png', true, 'pixel@here', 570],
        ['2', 'Übersicht.pdf', 'application/pdf', false, null, 3],
        ['3', '', 'message/rfc822', false, null, mail?.attachments[2]?.size],
      ],
    );
    assert.equal(mail?.head.subject, 'mixed');
    assert.ok(mail?.head.fields.some(([name]) => name === 'mime-version'));
    const [head] = await read([{ ...byPlace('mixed'), withBody: false }]);
    assert.deepEqual([head?.text, head?.html, head?.attachments.length], [null, null, 3]);
  });

  it('reads fifty mails by one selection and two FETCHes, in the order asked for', async () => {
    const wanted = Array.from({ length: 50 }, (_, at) => byPlace(`many-${49 - at}`));
    const mails = await read([...wanted, { place: 'elsewhere', messageId: null, withBody: true }]);
    assert.deepEqual(
      mails.map((mail) => mail?.text?.trim()),
      [...Array.from({ length: 50 }, (_, at) => `text ${49 - at}`), undefined],
    );
    assert.equal(count('EXAMINE'), 1);
    assert.equal(count('UID FETCH'), 2);
    assert.equal(count('UID SEARCH'), 0);
    assert.ok(mails[0]?.unread);
  });

  it('survives a mail of a thousand levels', async () => {
    const began = Date.now();
    const [mail, other] = await read([byPlace('nested'), byPlace('first')]);
    assert.equal(mail?.head.messageId, '<nested@example.org>');
    assert.equal(other?.unread, false);
    assert.equal(other?.text?.trim(), 'Hello');
    assert.ok(Date.now() - began < 2000);
  });

  it('finds by its Message-ID what lies elsewhere by now, or was never placed', async () => {
    const wandering = { ...byPlace('wandering'), messageId: '<wandering@example.org>' };
    await host.withProgram(ALICE, async (program) => {
      await program.mailboxOpen('INBOX');
      await program.messageMove({ header: { 'message-id': 'wandering@example.org' } }, 'Far');
    });
    const unplaced = { place: null, messageId: '<sent@example.org>', withBody: true };
    const nowhere = { place: null, messageId: '<sent@example>', withBody: true };
    const mails = await read([wandering, unplaced, nowhere, byPlace('first')]);
    assert.deepEqual(
      mails.map((mail) => [mail?.head.subject, mail?.folders]),
      [
        ['wandering', ['Far']],
        ['sent', ['SENT']],
        [undefined, undefined],
        ['first', ['INBOX']],
      ],
    );
    const [again] = await read([{ place: mails[0]?.place ?? '', messageId: null, withBody: true }]);
    assert.equal(again?.head.subject, 'wandering');
    assert.equal(count('UID SEARCH'), 0);
    const renumbered = {
      ...byPlace('first'),
      place: JSON.stringify(['INBOX', '1', 1]),
      messageId: '<first@example.org>',
    };
    assert.equal((await read([renumbered]))[0]?.head.subject, 'first');
  });
});
