import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isOwn, ownAddresses } from './own-address.ts';

function own(email: string, aliases: readonly string[] = [], settings: Record<string, unknown> = {}) {
  return ownAddresses({ email, aliases, settings });
}

describe('isOwn', () => {
  const alice = own('Alice@Example.test', ['sales@shop.test'], {
    imap_username: 'alice.able@hosting.test',
    smtp_username: 'alice',
    imap_port: 993,
  });

  for (const email of [
    'alice@example.test',
    'ALICE@EXAMPLE.TEST',
    ' alice@example.test ',
    'alice+offers@example.test',
    'alice+a+b@example.test',
    '"alice"@example.test',
    'alice@example.test.',
    'sales@shop.test',
    'Sales+x@shop.test',
    'alice.able@hosting.test',
  ]) {
    it(`takes ${email} for the owner's`, () => assert.equal(isOwn(alice, email), true));
  }

  for (const email of [
    'alice@other.test',
    'alicex@example.test',
    'al.ice@example.test',
    '+alice@example.test',
    'bob+alice@example.test',
    'alice',
    'alice@',
    '@example.test',
    '',
    `${'a'.repeat(400)}@example.test`,
    null,
    undefined,
  ]) {
    it(`takes ${String(email).slice(0, 40)} for a stranger's`, () => assert.equal(isOwn(alice, email), false));
  }

  it('knows how Gmail reads addresses, and Gmail alone', () => {
    const gmail = own('alice.able@googlemail.com');
    for (const email of ['aliceable@gmail.com', 'A.L.I.C.E.able+x@gmail.com', 'alice.able@googlemail.com']) {
      assert.equal(isOwn(gmail, email), true, email);
    }
    assert.equal(isOwn(gmail, 'alice.able@gmail.test'), false);
  });

  it('compares domains of any language', () => {
    assert.equal(isOwn(own('kim@bücher.test'), 'kim@xn--bcher-kva.test'), true);
  });

  it('finds nobody where the grant names no address', () => {
    assert.equal(own('', [''], { imap_username: '' }).size, 0);
  });
});
