import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addressIn, readDeliveryStatus } from './delivery-status.ts';

function read(text: string): string[] {
  const { recipients } = readDeliveryStatus(Buffer.from(text));
  return recipients.map(({ address, action, status, diagnostic }) => [address, action, status, diagnostic].join(' '));
}

const KIM = 'Final-Recipient: rfc822; kim@c.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; no\n';
const LEE = 'Final-Recipient: rfc822; lee@c.test\nAction: delayed\nStatus: 4.4.1\nDiagnostic-Code: smtp; later\n';
const BOTH = ['kim@c.test failed 5.1.1 no', 'lee@c.test delayed 4.4.1 later'];

describe('readDeliveryStatus', () => {
  for (const [name, text] of [
    ['as they should be', `Reporting-MTA: dns; mx\n\n${KIM}\n${LEE}`],
    ['with other line ends', `Reporting-MTA: dns; mx\n\n${KIM}\n${LEE}`.replaceAll('\n', '\r\n')],
    ['without empty lines', `Reporting-MTA: dns; mx\n${KIM}${LEE}`],
    ['with empty lines within', `\n\nReporting-MTA: dns; mx\n\n${KIM.replace('Status', '\nStatus')}\n\n \n${LEE}\n\n`],
    [
      'with the action first',
      `Action: failed\nFinal-Recipient: rfc822; kim@c.test\nStatus: 5.1.1\nDiagnostic-Code: smtp; no\n\n${LEE}`,
    ],
    ['with names in capitals', `${KIM}\n${LEE}`.replace(/^[\w-]+:/gm, (name) => name.toUpperCase())],
    ['with comments', `${KIM}\n${LEE}`.replace('failed', 'failed (for good)').replace('5.1.1', '5.1.1 (bad mailbox)')],
  ] as const) {
    it(`reads groups ${name}`, () => assert.deepEqual(read(text), BOTH));
  }

  it('names whom the sender wrote to, not where that was forwarded', () => {
    assert.deepEqual(read(`Original-Recipient: rfc822; k@first.test\n${KIM}`), ['k@first.test failed 5.1.1 no']);
    assert.deepEqual(read(`${KIM}Original-Recipient: rfc822;kim+40c.test\n`), ['kim@c.test failed 5.1.1 no']);
    assert.deepEqual(read(`Original-Recipient: rfc822; kim+2Ba@c.test\n${KIM.replace('kim@', 'kim+a@')}`), [
      'kim+a@c.test failed 5.1.1 no',
    ]);
    assert.deepEqual(read(`Original-Recipient: unknown; ?\n${KIM}`), ['kim@c.test failed 5.1.1 no']);
  });

  it('unfolds what a server said', () => {
    assert.match(read(KIM.replace('smtp; no', 'smtp; no\n  such\n\tuser'))[0] ?? '', /no\s+such\s+user$/);
  });

  it('knows the message where the report names it', () => {
    const status = readDeliveryStatus(Buffer.from(`X-Original-Message-ID: <a@b.test>\n\n${KIM}`));
    assert.equal(status.originalMessageId, '<a@b.test>');
  });

  it('finds nobody where nobody is reported on', () => {
    assert.deepEqual(read(''), []);
    assert.deepEqual(read('Reporting-MTA: dns; mx\n\n'), []);
    assert.deepEqual(read('Final-Recipient: rfc822; kim@c.test\n'), []);
  });
});

describe('addressIn', () => {
  for (const [text, address] of [
    ['kim@c.test', 'kim@c.test'],
    [' <kim@c.test> (Kim)', 'kim@c.test'],
    ['"kim@c.test".', 'kim@c.test'],
    ['mailto:kim@c.test', 'kim@c.test'],
    ['kim@c.test kim', 'kim@c.test'],
    ['kim', null],
    ['@c.test', null],
    ['kim@', null],
    ['kim@c.test,lee@c.test', null],
    ['', null],
  ] as const) {
    it(`finds ${address} in ${text}`, () => assert.equal(addressIn(text), address));
  }
});
