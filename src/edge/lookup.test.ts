import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Identity } from '../tracking/token.ts';
import { boundedLookUp } from './lookup.ts';

const identity = (n: number): Buffer => {
  const bytes = Buffer.alloc(28, 1);
  bytes.writeUInt32BE(n, 6);
  return bytes;
};

test('a row found is remembered, a missing one is asked for again', async () => {
  const asked: number[] = [];
  const lookUp = boundedLookUp(async ({ grant }: Identity) => {
    asked.push(grant);
    return grant === 1 ? 'https://espn.com' : null;
  });
  assert.deepEqual(await lookUp(identity(1)), { kind: 'found', destination: 'https://espn.com' });
  assert.deepEqual(await lookUp(identity(1)), { kind: 'found', destination: 'https://espn.com' });
  assert.deepEqual(await lookUp(identity(2)), { kind: 'missing' });
  assert.deepEqual(await lookUp(identity(2)), { kind: 'missing' });
  assert.deepEqual(asked, [1, 2, 2]);
});

test('the memory is small', async () => {
  let asked = 0;
  const lookUp = boundedLookUp(async () => `https://example.com/${asked++}`);
  for (let n = 0; n < 1001; n++) await lookUp(identity(n));
  await lookUp(identity(1000));
  assert.equal(asked, 1001);
  await lookUp(identity(0));
  assert.equal(asked, 1002);
});

test('a look-up that fails or takes too long is unavailable', async () => {
  const failing = boundedLookUp(() => Promise.reject(new Error('no database')));
  assert.deepEqual(await failing(identity(1)), { kind: 'unavailable' });
  const hanging = boundedLookUp(() => new Promise(() => undefined), 20);
  assert.deepEqual(await hanging(identity(1)), { kind: 'unavailable' });
});

test('at most 32 at once, and those given up still count while they run', async () => {
  const ends: (() => void)[] = [];
  const lookUp = boundedLookUp(() => new Promise((resolve) => ends.push(() => resolve(null))), 20);
  const first = Array.from({ length: 32 }, (_, n) => lookUp(identity(n)));
  assert.deepEqual(await lookUp(identity(99)), { kind: 'unavailable' });
  assert.equal(ends.length, 32);
  for (const outcome of await Promise.all(first)) assert.deepEqual(outcome, { kind: 'unavailable' });
  assert.deepEqual(await lookUp(identity(99)), { kind: 'unavailable' });
  assert.equal(ends.length, 32);
  for (const end of ends) end();
  await Promise.resolve();
  await new Promise(setImmediate);
  const next = lookUp(identity(99));
  assert.equal(ends.length, 33);
  ends[32]?.();
  assert.deepEqual(await next, { kind: 'missing' });
});
