import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { helloName } from './route.ts';

describe('the name said with EHLO', () => {
  it('is the domain of the mailbox, else of the sender, else the address of this end', () => {
    assert.equal(helloName('192.0.2.1', 'ann@example.com', 'bob@example.org'), 'example.com');
    assert.equal(helloName('192.0.2.1', 'ann', 'bob@bücher.example'), 'xn--bcher-kva.example');
    assert.equal(helloName('192.0.2.1', 'ann', ''), '[192.0.2.1]');
    assert.equal(helloName('2001:db8::1', 'ann@localhost', 'bob@[192.0.2.9]'), '[IPv6:2001:db8::1]');
    assert.doesNotMatch(helloName('192.0.2.1', 'ann@example.com\r\nMAIL FROM:<>', ''), /[\r\n ]/);
  });
});
