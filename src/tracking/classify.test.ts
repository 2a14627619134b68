import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeHit } from '../../test/support/recording.ts';
import { uuidv7 } from '../ids.ts';
import { classify } from './classify.ts';

const owner = { app: 1, grant: 1 };

test('a plain GET counts and nothing is claimed about who made it', () => {
  for (const more of [{}, { link: 3 }]) {
    assert.deepEqual(classify(makeHit(owner, uuidv7(), more)), { class: 'unknown', reasons: [], counts: true });
  }
});

test('other methods and prefetches are machines and do not count', () => {
  const of = (more: Parameters<typeof makeHit>[2]): unknown => classify(makeHit(owner, uuidv7(), more));
  assert.deepEqual(of({ method: 'HEAD' }), { class: 'machine', reasons: ['method_head'], counts: false });
  assert.deepEqual(of({ method: 'OPTIONS', link: 0 }), {
    class: 'machine',
    reasons: ['method_options'],
    counts: false,
  });
  assert.deepEqual(of({ method: 'other' }), { class: 'machine', reasons: ['method_other'], counts: false });
  assert.deepEqual(of({ prefetch: true }), { class: 'machine', reasons: ['prefetch'], counts: false });
  assert.deepEqual(of({ method: 'HEAD', prefetch: true, link: 1 }), {
    class: 'machine',
    reasons: ['method_head', 'prefetch'],
    counts: false,
  });
});
