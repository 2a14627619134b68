import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backOff } from './backoff.ts';

describe('the time until a mailbox is tried again', () => {
  it('doubles from a second to five minutes, and is anything up to that', () => {
    const longest = [1, 2, 3, 4, 9, 10, 50, 5000].map((failures) => backOff(failures, 1));
    assert.deepEqual(longest, [1_000, 2_000, 4_000, 8_000, 256_000, 300_000, 300_000, 300_000]);
    assert.equal(backOff(5, 0), 0);
    assert.equal(backOff(5, 0.5), 8_000);
  });

  it('is spread over five seconds after a connection that had been good', () => {
    assert.equal(backOff(0, 0), 0);
    assert.equal(backOff(0, 0.5), 2_500);
  });

  it('is at least what the server asks for, up to an hour, and not the same for all', () => {
    assert.equal(backOff(1, 0, 120), 120_000);
    assert.equal(backOff(3, 0.5, 120), 122_000);
    assert.equal(backOff(1, 0, 86_400), 3_600_000);
    for (const odd of [-5, Number.NaN, Number.POSITIVE_INFINITY]) assert.equal(backOff(1, 0.5, odd), 500, String(odd));
  });
});
