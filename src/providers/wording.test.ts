import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { problemOf, readFailure } from './imap/problem.ts';
import { readReply, shownReply } from './smtp/replies.ts';
import { shortened, storable } from './wording.ts';

function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

describe('what a server said', () => {
  it('is cut between two characters, wherever the cut falls', () => {
    for (let before = 150; before < 310; before++) {
      const text = `${'x'.repeat(before)}${'😀'.repeat(100)}`;
      const error = Object.assign(new Error('Command failed'), { responseStatus: 'NO', responseText: text });
      const reply = readReply(`550 5.7.1 ${text}`);
      assert.ok(reply);
      const told = [shortened(text, 200), readFailure(error).text, problemOf(error, 'h').reason, shownReply(reply)];
      assert.deepEqual(
        told.filter((words) => !isStorable(words)),
        [],
        String(before),
      );
    }
    const within = Object.assign(new Error('x'), { responseStatus: 'NO', responseText: `${'x'.repeat(3999)}😀` });
    assert.ok(isStorable(problemOf(within, 'h').reason));
  });

  it('is one line of at most so many units', () => {
    assert.equal(shortened(' a\r\n\tb\0\u202Ec\uD800d '), 'a bcd');
    assert.equal(shortened('x'.repeat(200), 200), 'x'.repeat(200));
    assert.equal(shortened('x'.repeat(201), 200), `${'x'.repeat(199)}…`);
  });

  it('leaves in an outcome that PostgreSQL takes', () => {
    const bad = 'a\0b\uD83D';
    const sent = { kind: 'sent', messageId: '<a@b>', refused: [{ address: 'kim@example.com', reason: bad }] } as const;
    assert.deepEqual(storable(sent), { ...sent, refused: [{ address: 'kim@example.com', reason: 'ab\uFFFD' }] });
    assert.deepEqual(storable({ kind: 'failed', reason: bad }), { kind: 'failed', reason: 'ab\uFFFD' });
    const problems = [{ at: 'smtp', kind: 'unusable', reason: bad }] as const;
    assert.deepEqual(storable({ kind: 'problems', problems }), {
      kind: 'problems',
      problems: [{ at: 'smtp', kind: 'unusable', reason: 'ab\uFFFD' }],
    });
    assert.deepEqual(storable({ kind: 'kept' }), { kind: 'kept' });
  });
});
