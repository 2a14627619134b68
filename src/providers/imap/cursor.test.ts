import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readCursor, writeCursor } from './cursor.ts';

describe('the cursor of a mailbox', () => {
  it('is read back as it was written, whatever folders are called', () => {
    const reached = new Map([
      ['INBOX', { validity: '4294967295', uid: 7, newSince: 1_795_331_046_000, modseq: '18446744073709551615' }],
      ['__proto__', { validity: '1', uid: 0, newSince: 0, modseq: '' }],
    ]);
    assert.deepEqual(readCursor(JSON.parse(JSON.stringify(writeCursor(reached)))), reached);
  });

  it('leaves out what it did not write', () => {
    assert.equal(readCursor({ folders: [['INBOX', 1, 2, 3], 'x', ['A', '1', 2, 3, null]] }).size, 0);
    assert.equal(readCursor(null).size, 0);
    assert.equal(readCursor({ historyId: '1' }).size, 0);
  });
});
