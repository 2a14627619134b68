import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bounceType, isForGood, oneLine, smtpCode, statusIn } from './server-words.ts';

describe('smtpCode', () => {
  for (const [text, code] of [
    ['550 5.1.1 no such user', '550'],
    ['550-5.1.1 no such user', '550'],
    ['554: delivery error', '554'],
    ['host mx.client.test[192.0.2.25] said: 452 4.2.2 full (in reply to RCPT TO)', '452'],
    ['Remote host said: 553 sorry', '553'],
    ["Remote Server returned '550 5.1.10 RESOLVER'", '550'],
    ['SMTP error from remote server after RCPT TO:<k@c.test>: 550 unknown', '550'],
    ['connect to 192.0.2.25:25: Connection refused', ''],
    ['connect to mx[203.0.113.250]:587: timed out', ''],
    ['Message-ID 550123 was lost', ''],
    ['gave up after 500 tries with 512 bytes', ''],
    ['mx.client.test [192.0.2.25]: 550 not accepted', '550'],
    ['While talking to mx:\n550 unknown', '550'],
    ['250 2.0.0 Ok', ''],
    ['', ''],
  ] as const) {
    it(`finds ${code || 'none'} in ${text}`, () => assert.equal(smtpCode(text), code));
  }
});

describe('statusIn', () => {
  for (const [text, status] of [
    ['550 5.1.1 no such user', '5.1.1'],
    ['Sorry, no mailbox here by that name. (#5.1.1)', '5.1.1'],
    ['dsn=4.4.1', '4.4.1'],
    ['lost with Exim 4.9.2', ''],
    ['connect to 5.1.2.3', ''],
    ['host 192.4.1.1 said no', ''],
  ] as const) {
    it(`finds ${status || 'none'} in ${text}`, () => assert.equal(statusIn(text), status));
  }
});

describe('isForGood', () => {
  for (const [status, text, permanent] of [
    ['5.1.1', '', true],
    ['4.4.1', '', false],
    ['5.0.0', '450 4.1.1 try later', false],
    ['4.0.0', '550 no such user', true],
    ['4.4.7', '550 4.4.7 QUEUE.Expired; message expired', false],
    ['4.0.0', 'lookup of clinet.test responded with code NXDOMAIN', true],
    ['', '550 5.1.1 unknown', true],
    ['', '421 busy', false],
    ['', 'User kim (kim@client.test) not listed in Domino Directory', true],
    ['', "This user doesn't have a client.test account", true],
    ['', 'retry timeout exceeded', false],
    ['', 'The mailbox is unavailable: quota exceeded', false],
    ['', '', false],
  ] as const) {
    it(`says ${permanent} of ${status} ${text}`, () => assert.equal(isForGood({ status, text }), permanent));
  }
});

describe('bounceType', () => {
  for (const [status, text, missing] of [
    ['5.1.2', '', true],
    ['5.4.4', '', true],
    ['5.4.310', '', true],
    ['5.1.1', '550 5.1.1 no such user', false],
    ['5.1.10', '550 5.1.10 RESOLVER.ADR.RecipientNotFound', false],
    ['5.1.10', '556 5.1.10 Recipient address has null MX', true],
    ['5.0.0', 'Host or domain name not found. Name service error for name=clinet.test', true],
    ['', "Sorry, I couldn't find any host named clinet.test. (#5.1.2)", true],
    ['', 'Unrouteable address', false],
    ['5.1.8', '550 5.1.8 Sender address rejected: Domain not found', false],
    ['5.7.1', '554 5.7.1 Helo command rejected: Host not found', false],
  ] as const) {
    it(`${missing ? 'misses the domain' : 'blames the mailbox'} for ${status} ${text}`, () => {
      assert.equal(bounceType({ status, text }), missing ? 'domain_not_found' : 'mailbox_unavailable');
    });
  }
});

describe('oneLine', () => {
  for (const [text, line] of [
    ['550-5.1.1 The account\n550-5.1.1 does not\n550 5.1.1  exist', '550 5.1.1 The account does not exist'],
    ['550-One\r\n 550-two', '550 One two'],
    ['  a\u0000b\u202ec\t d ', 'a b c d'],
    ['=?utf-8?q?Empf=C3=A4nger?= unbekannt', 'Empfänger unbekannt'],
    ['x'.repeat(900), 'x'.repeat(500)],
    [`${'x'.repeat(499)}\u{1f600}`, `${'x'.repeat(499)}\ufffd`],
    ['', ''],
  ] as const) {
    it(`makes ${JSON.stringify(line.slice(0, 40))}`, () => assert.equal(oneLine(text), line));
  }
});
