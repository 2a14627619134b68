import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { MESSAGE_AT, macKey, macOf, macScratch, proves } from './mac.ts';

test('equals createHmac for every length of message and key', () => {
  const scratch = macScratch(1000);
  for (let length = 0; length <= 1000; length++) {
    const key = randomBytes(length % 65);
    const message = randomBytes(length);
    message.copy(scratch, MESSAGE_AT);
    const expected = createHmac('sha256', key).update(message).digest().subarray(0, 16);
    assert.deepEqual(Buffer.from(macOf(macKey(key), scratch, length), 'latin1'), expected, `${length}`);
  }
});

test('proves the right MAC and no other', () => {
  const key = macKey(Buffer.from('a key'));
  const scratch = macScratch(10);
  scratch.write('0123456789', MESSAGE_AT);
  const macs = Buffer.concat([Buffer.alloc(3), Buffer.from(macOf(key, scratch, 10), 'latin1')]);
  assert.equal(proves(key, scratch, 10, macs, 3), true);
  assert.equal(proves(key, scratch, 9, macs, 3), false);
  for (let bit = 0; bit < 128; bit++) {
    const bent = Buffer.from(macs);
    bent[3 + (bit >> 3)] = (bent[3 + (bit >> 3)] ?? 0) ^ (1 << (bit & 7));
    assert.equal(proves(key, scratch, 10, bent, 3), false);
  }
});

test('a key longer than a block is refused', () => {
  assert.throws(() => macKey(Buffer.alloc(65)), RangeError);
});
