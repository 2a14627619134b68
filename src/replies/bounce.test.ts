import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { corpusMail, corpusNames } from '../../test/support/corpus.ts';
import { type Bounce, readBounce } from './bounce.ts';

type Expected = Pick<Bounce, 'permanent' | 'recipients' | 'code' | 'status' | 'type'> & {
  readonly reason: RegExp;
  readonly original?: string | null;
  readonly form?: 'text';
};

const KIM = ['kim@client.test'];
const NO_DOMAIN = ['kim@clinet.test'];
const ORIGINAL = '<renewal.1@mail.example.test>';
const mailbox = 'mailbox_unavailable';
const domain = 'domain_not_found';

const EXPECTED: Readonly<Record<string, Expected>> = {
  aol: {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '',
    type: mailbox,
    reason: /MAILBOX NOT FOUND/,
    form: 'text',
  },
  delivered: { permanent: null, recipients: KIM, code: '250', status: '2.0.0', type: mailbox, reason: /queued as 1/ },
  domino: {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '',
    type: mailbox,
    reason: /^User kim \(kim@client\.test\) not listed in Domino Directory$/,
    form: 'text',
  },
  'exchange-expired': {
    permanent: false,
    recipients: KIM,
    code: '550',
    status: '4.4.7',
    type: mailbox,
    reason: /message expired/,
  },
  'exchange-old': {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '',
    type: mailbox,
    reason: /recipient name is not recognized/,
    form: 'text',
  },
  'exim-plain': {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '5.1.1',
    type: mailbox,
    reason: /User unknown in virtual mailbox table$/,
    form: 'text',
  },
  'exim-retry-timeout': {
    permanent: false,
    recipients: KIM,
    code: '450',
    status: '',
    type: mailbox,
    reason: /^retry timeout exceeded$/,
    form: 'text',
  },
  'exim-warning': {
    permanent: false,
    recipients: KIM,
    code: '450',
    status: '',
    type: mailbox,
    reason: /Connection timed out/,
    original: null,
    form: 'text',
  },
  global: {
    permanent: true,
    recipients: ['kïm@client.test'],
    code: '550',
    status: '5.1.1',
    type: mailbox,
    reason: /^550 5\.1\.1 Empfänger „kïm“ unbekannt$/,
  },
  'gmail-address-not-found': {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '5.1.1',
    type: mailbox,
    reason:
      /^550 5\.1\.1 The email account that you tried to reach does not exist\. Please try double-checking the recipient's email address for typos or unnecessary spaces\./,
  },
  'gmail-no-domain': {
    permanent: true,
    recipients: NO_DOMAIN,
    code: '550',
    status: '4.0.0',
    type: domain,
    reason: /NXDOMAIN/,
  },
  'gmail-plain': {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '5.1.1',
    type: mailbox,
    reason: /User unknown$/,
    form: 'text',
  },
  'google-groups-japanese': {
    permanent: false,
    recipients: ['sales@groups.client.test'],
    code: '450',
    status: '',
    type: mailbox,
    reason: /グループ/,
    form: 'text',
  },
  mailru: {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '',
    type: mailbox,
    reason: /user not found$/,
    form: 'text',
  },
  'mixed-recipients': {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '5.2.1',
    type: mailbox,
    reason: /^550 5\.2\.1 account disabled$/,
  },
  'no-status-words': {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '',
    type: mailbox,
    reason: /mailbox unavailable/,
  },
  office365: {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '5.1.10',
    type: mailbox,
    reason: /^550 5\.1\.10 RESOLVER/,
  },
  'office365-no-dns': {
    permanent: true,
    recipients: NO_DOMAIN,
    code: '550',
    status: '5.4.310',
    type: domain,
    reason: /does not exist/,
  },
  'postfix-deserted': {
    permanent: true,
    recipients: ['kim@deserted.test'],
    code: '550',
    status: '5.1.1',
    type: mailbox,
    reason: /User doesn't exist/,
    original: '<deserted@mail.example.test>',
  },
  'postfix-nowhere': {
    permanent: true,
    recipients: ['kim@nowhere.test'],
    code: '550',
    status: '5.4.4',
    type: domain,
    reason: /^Host or domain name not found/,
    original: '<nowhere@mail.example.test>',
  },
  'postfix-slow': {
    permanent: false,
    recipients: ['kim@slow.test'],
    code: '450',
    status: '4.4.1',
    type: mailbox,
    reason: /Connection refused/,
    original: '<slow@mail.example.test>',
  },
  'postfix-text-only': {
    permanent: true,
    recipients: NO_DOMAIN,
    code: '550',
    status: '',
    type: domain,
    reason: /^Host or domain name not found/,
    form: 'text',
  },
  qmail: {
    permanent: true,
    recipients: ['kim@client.test', 'lee@clinet.test'],
    code: '553',
    status: '5.3.0',
    type: mailbox,
    reason: /No such user here/,
    form: 'text',
  },
  relayed: { permanent: null, recipients: KIM, code: '250', status: '2.1.9', type: mailbox, reason: /^/ },
  sendmail: {
    permanent: true,
    recipients: ['kim@client.test', 'lee@client.test'],
    code: '550',
    status: '5.1.1',
    type: mailbox,
    reason: /User unknown$/,
  },
  ses: { permanent: true, recipients: KIM, code: '550', status: '5.7.1', type: mailbox, reason: /local policy$/ },
  'wrong-boundary': {
    permanent: true,
    recipients: KIM,
    code: '550',
    status: '5.1.1',
    type: mailbox,
    reason: /no such user$/,
  },
  yahoo: {
    permanent: true,
    recipients: KIM,
    code: '554',
    status: '',
    type: mailbox,
    reason: /^554: delivery error/,
    form: 'text',
  },
};

describe('readBounce', () => {
  it('has an expectation for every report of the corpus', () => {
    assert.deepEqual(corpusNames('bounces'), Object.keys(EXPECTED).sort());
  });

  for (const [name, { reason, original = ORIGINAL, form = 'report', ...expected }] of Object.entries(EXPECTED)) {
    for (const ends of ['\n', '\r\n'] as const) {
      it(`reads ${name} with line ends of ${ends.length}`, () => {
        const bounce = readBounce(corpusMail('bounces', name, ends));
        assert.ok(bounce);
        const { permanent, recipients, code, status, type } = bounce;
        assert.deepEqual({ permanent, recipients, code, status, type }, expected);
        assert.match(bounce.reason, reason);
        assert.equal(bounce.originalMessageId, original);
        assert.equal(bounce.form, form);
      });
    }
  }

  it('reads the head of the mail that came back', () => {
    const bounce = readBounce(corpusMail('bounces', 'sendmail'));
    assert.deepEqual(bounce?.original, {
      to: ['kim@client.test'],
      cc: ['lee@client.test'],
      subject: 'Renewal',
      sentAt: new Date('2026-01-01T20:40:00Z'),
    });
    assert.deepEqual(bounce?.bouncedAt, new Date('2026-01-01T20:41:40Z'));
  });

  it('reads what is there of a report that was cut anywhere', () => {
    for (const name of corpusNames('bounces')) {
      const whole = corpusMail('bounces', name);
      for (let length = 0; length < whole.length; length += 37) readBounce(whole.subarray(0, length));
      assert.ok(readBounce(whole.subarray(0, whole.length - 60)), name);
    }
  });

  it('takes no mail of a person for a report, whatever it says', () => {
    const words = 'Undelivered Mail Returned to Sender\n\n<kim@client.test>: 550 5.1.1 User unknown\n';
    for (const head of ['From: kim@client.test', 'From: kim@client.test\nSubject: Undeliverable: Renewal']) {
      assert.equal(readBounce(Buffer.from(`${head}\n\n${words}`)), null);
    }
  });

  it('keeps what it tells of strangers within bounds', () => {
    const groups = Array.from(
      { length: 5000 },
      (_, at) => `Final-Recipient: rfc822; k${at}@client.test\nAction: failed\nStatus: 5.1.1\n`,
    );
    const bounce = readBounce(reportWith(`${groups.join('\n')}\n`));
    assert.equal(bounce?.recipients.length, 100);
    const long = readBounce(
      reportWith(
        `Final-Recipient: rfc822; kim@client.test\nAction: failed\nDiagnostic-Code: smtp; 550 ${'\u{1f600} \u0000\u202e'.repeat(9000)}\n`,
      ),
    );
    assert.ok(long && long.reason.length <= 500 && long.reason.isWellFormed());
    assert.doesNotMatch(long.reason, /[\p{Cc}\p{Cf}]/u);
  });

  it('names nobody who is no address', () => {
    const bad = [
      'rfc822; "<script>"',
      'rfc822; kim',
      'x400; /c=de/',
      'rfc822; @client.test',
      `rfc822; ${'k'.repeat(400)}@client.test`,
    ];
    const groups = bad.map((address) => `Final-Recipient: ${address}\nAction: failed\nStatus: 5.1.1\n`);
    assert.deepEqual(readBounce(reportWith(groups.join('\n'), 'To: a@x.test, b@x.test'))?.recipients, []);
  });
});

const REPORT =
  'From: MAILER-DAEMON@mx.test\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n';

function reportWith(status: string, original = 'To: kim@client.test'): Buffer {
  return Buffer.from(
    `${REPORT}--b\n\nNot delivered.\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.test\n\n${status}\n--b\nContent-Type: text/rfc822-headers\n\n${original}\n--b--\n`,
  );
}

describe('readBounce under attack', () => {
  const many = (text: string, bytes = 600_000): string => text.repeat(Math.ceil(bytes / text.length));
  const nested = Array.from(
    { length: 1000 },
    (_, at) => `--b${at}\nContent-Type: multipart/mixed; boundary=b${at + 1}\n\n`,
  );
  const attacks: Readonly<Record<string, string>> = {
    'a thousand nested multiparts': `${REPORT.replace('boundary=b', 'boundary=b0')}${nested.join('')}`,
    'a line of 10 MB': `${REPORT}--b\n\n${many('x', 10_000_000)}`,
    'a head without an end': `From: MAILER-DAEMON@mx.test\n${many('X-A: b\n')}`,
    'one field folded for ever': `From: MAILER-DAEMON@mx.test\nContent-Type: multipart/report;${many('\n a=b;')}`,
    'boundaries everywhere': `${REPORT}${many('--b\n\n')}`,
    'lines that begin like boundaries': `${REPORT}${many('--c\n')}`,
    'empty lines': `${REPORT}${many('\n')}`,
    'empty lines in the status': `${REPORT}--b\nContent-Type: message/delivery-status\n\n${many(' \n')}`,
    'spaces in the status': `${REPORT}--b\nContent-Type: message/delivery-status\n\nStatus:${many(' ')}`,
    'one letter fields': `${REPORT}--b\nContent-Type: message/delivery-status\n\n${many('a:\n')}`,
    'soft line ends': `${REPORT}--b\nContent-Transfer-Encoding: quoted-printable\n\n${many('= \t')}`,
    'broken base64': `${REPORT}--b\nContent-Transfer-Encoding: base64\n\n${many('=\u0000A')}`,
    'a charset nobody knows': `${REPORT}--b\nContent-Type: text/plain; charset=${'x'.repeat(3000)}\n\n${many('\u00ff')}`,
    'open tags': `${REPORT}--b\nContent-Type: text/html\n\n${many('<')}`,
    'open styles': `${REPORT}--b\nContent-Type: text/html\n\n${many('<style>')}`,
    entities: `${REPORT}--b\nContent-Type: text/html\n\n${many('&amp')}`,
    addresses: `${REPORT}--b\n\nThis is the mail system at host x\n\n${many('a@b.test\n')}`,
    'signs at': `${REPORT}--b\n\nThis is the mail system at host x\n\n${many('@')}\n${many('a@')}`,
    'words of servers': `${REPORT}--b\n\nThis is the mail system at host x\n\n<k@c.test>: ${many('user domain host 550-')}`,
    codes: `${REPORT}--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; k@c.test\nAction: failed\nDiagnostic-Code: smtp; 550-5.1.1 ${many('550-5.1.1 ')}`,
    types: `${REPORT}--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: ${many('rfc822 ( ;')}\nAction: failed`,
    dashes: `${REPORT}--b\n\nThis is the mail system at host x\n${many('-')}\n${many('- ')}`,
    'X-Failed-Recipients': `From: a@b.test\nX-Failed-Recipients: ${many('a@b.test,')}\n\nfailed`,
    subjects: `From: MAILER-DAEMON@mx.test\nSubject: ${many('undeliverable ')}\n\nfailed`,
    'zero bytes': `${REPORT}--b\n\n${many('\u0000')}`,
  };

  for (const [name, text] of Object.entries(attacks)) {
    it(`stands ${name}`, () => {
      const raw = Buffer.from(text, 'latin1');
      readBounce(raw.subarray(0, 10_000)); // compiled before it is timed
      const start = performance.now();
      readBounce(raw);
      const took = performance.now() - start;
      assert.ok(took < 500, `${Math.round(took)} ms`);
    });
  }
});
