import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSecret, KeyringProblem, parseKeyring } from './keyring.ts';

const A = 'correct horse battery staple';
const B = 'another secret of good length';

test('one secret is key 1, in a list the highest id signs', () => {
  const one = parseKeyring(A);
  assert.equal(one.current, 1);
  assert.deepEqual(one.ids, [1]);
  const two = parseKeyring(` 7:${B} , 1:${A} `);
  assert.equal(two.current, 7);
  assert.deepEqual(two.ids, [1, 7]);
  assert.deepEqual(two.derive(1, 'token'), one.derive(1, 'token'), 'adding a key leaves the old one as it was');
});

test('a secret may hold colons', () => {
  assert.deepEqual(parseKeyring('abc:def:ghi:jkl:mno').ids, [1]);
  assert.deepEqual(parseKeyring('3:abc:def:ghi:jkl:mno').ids, [3]);
});

test('every purpose, key id and secret has its own 32 bytes', () => {
  const ring = parseKeyring(`1:${A},2:${A}`);
  const keys = (['token', 'vault', 'session', 'check'] as const).flatMap((purpose) =>
    ring.ids.map((id) => ring.derive(id, purpose).toString('hex')),
  );
  assert.equal(new Set(keys).size, 8);
  assert.ok(keys.every((key) => key.length === 64));
  assert.notEqual(parseKeyring(B).derive(1, 'token').toString('hex'), keys[0]);
});

// Links in delivered mail depend on these bytes: this value may never change.
test('the derivation is pinned', () => {
  assert.equal(
    parseKeyring(A).derive(1, 'token').toString('hex'),
    'deef6bb1a00ff167fa0cfb4a006d68312d038431627e73b0ab9a09b62b7982db',
  );
});

test('problems are one sentence that never shows the secret', () => {
  const cases = [
    '',
    '   ',
    'short',
    `1:short`,
    `1:${A},1:${B}`,
    `0:${A}`,
    `256:${A}`,
    `999:${A}`,
    `1000:${A}`,
    `${A},${B}`,
    `1:${A},`,
    `x:${A},2:${B}`,
  ];
  for (const text of cases) {
    assert.throws(
      () => parseKeyring(text),
      (error) => error instanceof KeyringProblem && error.message.endsWith('.') && !error.message.includes(A),
      text,
    );
  }
  assert.throws(() => parseKeyring(A).derive(2, 'token'), KeyringProblem);
});

test('a generated secret is accepted and never repeats', () => {
  const made = Array.from({ length: 50 }, generateSecret);
  assert.equal(new Set(made).size, 50);
  for (const secret of made) assert.deepEqual(parseKeyring(secret).ids, [1]);
});
