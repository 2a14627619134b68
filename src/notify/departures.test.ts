import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeDepartures } from './departures.ts';

test('what is about one thing leaves in order, what is about another need not wait', async () => {
  const enter = makeDepartures();
  const gone: string[] = [];
  const go = async (key: string, name: string, leaves: Promise<void>): Promise<void> => {
    const departure = enter(key, 1_000);
    await departure.turn;
    gone.push(name);
    await leaves;
    departure.left();
    departure.left();
  };
  let release = (): void => {};
  const stuck = new Promise<void>((resolve) => {
    release = resolve;
  });
  const all = [go('a', 'a1', stuck), go('a', 'a2', Promise.resolve()), go('a', 'a3', Promise.resolve())];
  await go('b', 'b1', Promise.resolve());
  assert.deepEqual(gone, ['a1', 'b1']);
  release();
  await Promise.all(all);
  assert.deepEqual(gone, ['a1', 'b1', 'a2', 'a3']);
  await go('a', 'a4', Promise.resolve()); // nobody is before it any more
});

test('nobody waits without end', async () => {
  const enter = makeDepartures();
  enter('a', 50);
  const began = performance.now();
  await Promise.all([enter('a', 50).turn, enter('a', 50).turn]);
  const waited = performance.now() - began;
  assert.ok(waited >= 49 && waited < 99, `${waited} ms`); // side by side, not one after the other
});
