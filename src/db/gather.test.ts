import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gather } from './gather.ts';

/** Batches that wait to be let go one by one. */
function gated(fails: (items: readonly number[]) => Error | null = () => null) {
  const batches: (readonly number[])[] = [];
  const gates: (() => void)[] = [];
  const ask = gather<number, string>({
    atOnce: 3,
    isTheirs: (error) => error instanceof RangeError,
    async run(items) {
      batches.push(items);
      await new Promise<void>((resolve) => gates.push(resolve));
      const error = fails(items);
      if (error !== null) throw error;
      return items.map((item) => `done ${item}`);
    },
  });
  const letGo = async (): Promise<void> => {
    gates.shift()?.();
    await turn();
  };
  return { ask, batches, letGo };
}

/** Long enough for a batch to end and the next to begin. */
async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe('gathering', () => {
  it('does together what comes in one turn or while a batch is under way, in order and no more than fit', async () => {
    const { ask, batches, letGo } = gated();
    const results = [ask(1), ask(2)];
    await turn();
    assert.deepEqual(batches, [[1, 2]]);
    results.push(...[3, 4, 5, 6].map(ask));
    await letGo();
    assert.deepEqual(batches, [
      [1, 2],
      [3, 4, 5],
    ]);
    await letGo();
    await letGo();
    assert.deepEqual(batches.at(-1), [6]);
    assert.deepEqual(await Promise.all(results), ['done 1', 'done 2', 'done 3', 'done 4', 'done 5', 'done 6']);
  });

  it('begins again after it came to rest', async () => {
    const { ask, batches, letGo } = gated();
    const first = ask(1);
    await turn();
    await letGo();
    await first;
    const second = ask(2);
    await turn();
    await letGo();
    assert.equal(await second, 'done 2');
    assert.deepEqual(batches, [[1], [2]]);
  });

  it('lets the item that a batch cannot take fail alone', async () => {
    const { ask, batches, letGo } = gated((items) => (items.includes(3) ? new RangeError('three') : null));
    const results = Promise.allSettled([2, 3, 4].map(ask));
    await turn();
    for (let i = 0; i < 5; i++) await letGo();
    const kinds = (await results).map((result) =>
      result.status === 'fulfilled' ? result.value : result.reason.message,
    );
    assert.deepEqual(kinds, ['done 2', 'three', 'done 4']);
    assert.deepEqual(batches, [[2, 3, 4], [2, 3], [2], [3], [4]]);
  });

  it('fails a whole batch for what is not about its items, and goes on with the next', async () => {
    let down = true;
    const { ask, batches, letGo } = gated(() => (down ? new Error('gone') : null));
    const results = Promise.allSettled([1, 2].map(ask));
    await turn();
    await letGo();
    const all = await results;
    assert.deepEqual(
      all.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    down = false;
    const next = ask(4);
    await turn();
    await letGo();
    assert.equal(await next, 'done 4');
    assert.deepEqual(batches, [[1, 2], [4]]);
  });

  it('lets what waits fail with a batch where that is asked for', async () => {
    let batches = 0;
    const ask = gather<number, number>({
      atOnce: 1,
      failTogether: true,
      isTheirs: () => false,
      run: async () => {
        batches += 1;
        throw new Error('gone');
      },
    });
    const all = await Promise.allSettled([1, 2, 3].map(ask));
    assert.deepEqual(
      all.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    assert.equal(batches, 1);
  });

  it('closes a batch that is heavy enough', async () => {
    const batches: (readonly number[])[] = [];
    const ask = gather<number, number>({
      atOnce: 9,
      weight: { of: (item) => item, most: 10 },
      isTheirs: () => false,
      run: async (items) => {
        batches.push(items);
        return items;
      },
    });
    assert.deepEqual(await Promise.all([4, 4, 4, 30, 1].map(ask)), [4, 4, 4, 30, 1]);
    assert.deepEqual(batches, [[4, 4, 4], [30], [1]]);
  });

  it('rejects an item for which the batch gave no result', async () => {
    const ask = gather<number, string>({ atOnce: 9, isTheirs: () => false, run: async () => [] });
    await assert.rejects(ask(1), /gave no result/);
  });
});
