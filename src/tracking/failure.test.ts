import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeadlinePassed, failureOf } from './failure.ts';

function withCode(code: string): Error {
  return Object.assign(new Error('said the server'), { code });
}

test('what is wrong with the server waits, what is wrong with the batch does not', () => {
  const kinds = (codes: readonly string[]): Set<string> => new Set(codes.map((code) => failureOf(withCode(code)).kind));
  // Disk full, too many connections, no such table, no permission, shut down, cancelled, stalled, I/O error.
  assert.deepEqual(kinds(['53100', '53300', '42P01', '42501', '57P01', '57014', '25P03', '58030']), new Set(['wait']));
  assert.deepEqual(kinds(['ECONNREFUSED', 'CONNECTION_CLOSED', 'ENETUNREACH', '28P01', '3D000']), new Set(['wait']));
  assert.deepEqual(kinds(['40P01', '40001', '23505', '23514']), new Set(['again']));
  assert.deepEqual(kinds(['22021', '22003', '22P02', '23502', '54000', 'XX000']), new Set(['poison']));
  assert.equal(failureOf(new RangeError('Invalid time value')).kind, 'poison');
});

test('only a server that went away can have lost commits', () => {
  for (const code of ['57P01', 'CONNECTION_CLOSED', 'ECONNRESET', '25006', '08006'])
    assert.equal(failureOf(withCode(code)).lost, true, code);
  assert.equal(failureOf(new DeadlinePassed()).lost, true);
  for (const code of ['53100', '42P01', '57014', '22021']) assert.equal(failureOf(withCode(code)).lost, false, code);
});

test('a spool that cannot be read is waited for, but no commit is doubted', () => {
  const missing = Object.assign(withCode('ENOENT'), { path: '/data/spool/1.seg' });
  assert.deepEqual([failureOf(missing).kind, failureOf(missing).lost], ['wait', false]);
  assert.deepEqual([failureOf(withCode('EIO')).kind, failureOf(withCode('EIO')).lost], ['wait', false]);
});
