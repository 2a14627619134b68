import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUuid, risingIds, uuidTime } from './ids.ts';

const NOW = Date.UTC(2026, 10, 22);

test('rising ids rise within a millisecond, beyond what it can count, and while the clock goes back', () => {
  const next = risingIds();
  const ids = [
    ...Array.from({ length: 20_000 }, () => next(NOW)),
    ...Array.from({ length: 100 }, () => next(NOW - 9_000)),
    ...Array.from({ length: 100 }, (_, at) => next(NOW + at)),
  ];
  assert.ok(ids.every((id) => isUuid(id) && id[14] === '7' && /[89ab]/.test(id[19] ?? '')));
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual([...ids].sort(), ids);
  const ahead = uuidTime(ids[19_999] ?? '') - NOW;
  assert.ok(ahead >= 4 && ahead <= 9, `ran ${ahead} ms ahead`);
});

test('a clock that was set right after having been far ahead is believed, and rises from there', () => {
  const next = risingIds();
  next(NOW + 3_600_000);
  const ids = [next(NOW), next(NOW), next(NOW + 1)];
  assert.deepEqual(ids.map(uuidTime), [NOW, NOW, NOW + 1]);
  assert.deepEqual([...ids].sort(), ids);
});

test('where the count of a millisecond begins cannot be told', () => {
  const starts = Array.from({ length: 200 }, () => risingIds()(NOW).slice(15, 18));
  assert.ok(new Set(starts).size > 100);
  assert.ok(starts.every((start) => start < '800'));
});
