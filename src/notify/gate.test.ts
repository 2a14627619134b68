import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeGate } from './gate.ts';

test('so many are in at once, the others follow in their order', async () => {
  const gate = makeGate();
  const seen: number[] = [];
  const enter = (one: number): Promise<void> => gate.enter('a', 2).then((isIn) => void (isIn && seen.push(one)));
  const all = [1, 2, 3, 4, 5].map(enter);
  await Promise.all(all.slice(0, 2));
  assert.deepEqual(seen, [1, 2]);
  gate.leave('a', 2);
  await all[2];
  assert.deepEqual(seen, [1, 2, 3]);
  gate.leave('a', 4); // it has become wider
  await Promise.all(all);
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
});

test('one that has become narrower lets nobody in until enough have left', async () => {
  const gate = makeGate();
  await Promise.all([gate.enter('a', 3), gate.enter('a', 3), gate.enter('a', 3)]);
  let isIn = false;
  const fourth = gate.enter('a', 3).then(() => {
    isIn = true;
  });
  gate.leave('a', 1);
  gate.leave('a', 1);
  await Promise.resolve();
  assert.equal(isIn, false);
  gate.leave('a', 1);
  await fourth;
});

test('who is sent back is not in, and keys have nothing to do with each other', async () => {
  const gate = makeGate();
  await gate.enter('a', 1);
  await gate.enter('b', 1);
  const waiting = [gate.enter('a', 1), gate.enter('b', 1), gate.enter('b', 1)];
  gate.sendBack('a');
  assert.equal(await waiting[0], false);
  gate.leave('a', 1);
  assert.equal(await gate.enter('a', 1), true);
  gate.sendBack();
  assert.deepEqual(await Promise.all(waiting), [false, false, false]);
});
