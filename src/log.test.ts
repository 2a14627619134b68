import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withoutAddresses } from './log.ts';

describe('what servers say, as it is logged', () => {
  const cases: readonly (readonly [said: string, logged: string])[] = [
    ['550 5.1.1 <kim@example.test>: Recipient address rejected', '550 5.1.1 <(address)>: Recipient address rejected'],
    ["550 no mailbox 'o''neil+x@müller.example'", "550 no mailbox (address)'"],
    ['a.b@c.test, d@e.test;f@g.test', '(address), (address);(address)'],
    ['450 see https://x.test/?r=kim%40example.test', '450 see https:(address)'],
    ['421 4.7.0 try again later (@midnight)', '421 4.7.0 try again later (@midnight)'],
    ['535 user@ is not known', '535 user@ is not known'],
  ];
  for (const [said, logged] of cases) {
    it(`names nobody: ${said}`, () => {
      assert.equal(withoutAddresses(said), logged);
    });
  }
});
