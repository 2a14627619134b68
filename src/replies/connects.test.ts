import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { makeConnects } from './connects.ts';

// Waiting for a turn does not hold the process.
const held = setInterval(() => {}, 1_000);
after(() => clearInterval(held));

function never(): AbortSignal {
  return new AbortController().signal;
}

describe('permits to connect', () => {
  it('are given at no more than the rate, after a small burst', async () => {
    const connects = makeConnects({ perSecond: 100, atOnce: 1_000 });
    const from = performance.now();
    const at: number[] = [];
    await Promise.all(
      Array.from({ length: 60 }, async (_, server) => {
        (await connects.permit(`server ${server}`, never()))?.(true);
        at.push(performance.now() - from);
      }),
    );
    assert.ok((at.at(-1) ?? 0) >= ((60 - 20 - 1) / 100) * 1000, `60 within ${at.at(-1)} ms`);
    for (const [count, when] of at.entries()) assert.ok(count <= 20 + when / 10 + 1, `${count} within ${when} ms`);
  });

  it('are given to so many at once, and to the next when one is done', async () => {
    const connects = makeConnects({ perSecond: 10_000, atOnce: 2 });
    const given: string[] = [];
    const ask = async (name: string): Promise<(() => void) | null> => {
      const done = await connects.permit(name, never());
      given.push(name);
      return done === null ? null : () => done(true);
    };
    const asked = ['a', 'b', 'c', 'd'].map(ask);
    const [a] = await Promise.all(asked.slice(0, 2));
    assert.deepEqual([given, connects.counts.underWay, connects.counts.waiting], [['a', 'b'], 2, 2]);
    a?.();
    await asked[2];
    assert.deepEqual([given, connects.counts.underWay, connects.counts.waiting], [['a', 'b', 'c'], 2, 1]);
  });

  it('of one server come in the order asked for, of several in turns', async () => {
    const connects = makeConnects({ perSecond: 100_000, atOnce: 1 });
    const hold = await connects.permit('first', never());
    const given: string[] = [];
    const asked = ['big 1', 'big 2', 'big 3', 'small 1', 'small 2'].map(async (name) => {
      const done = await connects.permit(name.slice(0, -2), never());
      given.push(name);
      done?.(true);
    });
    hold?.(true);
    await Promise.all(asked);
    assert.deepEqual(given, ['big 1', 'small 1', 'big 2', 'small 2', 'big 3']);
  });

  it('of a server that does not answer leave places to others, and are single until it works again', async () => {
    const connects = makeConnects({ perSecond: 100_000, atOnce: 10 });
    const dones: ((works: boolean | null) => void)[] = [];
    const ask = (server: string): void => {
      void connects.permit(server, never()).then((done) => done !== null && dones.push(done));
    };
    for (let count = 0; count < 20; count += 1) ask('deaf');
    await settled();
    assert.equal(dones.length, 7);
    ask('other');
    await settled();
    assert.equal(dones.length, 8, 'the other server has its place');
    for (const done of dones.splice(0)) done(false);
    await settled();
    assert.equal(dones.length, 1);
    dones.pop()?.(true);
    await settled();
    assert.equal(dones.length, 7);
  });

  it('are not waited for any more once the signal aborts', async () => {
    const connects = makeConnects({ perSecond: 100_000, atOnce: 1 });
    const hold = await connects.permit('a', never());
    const leaving = new AbortController();
    const asked = connects.permit('a', leaving.signal);
    const next = connects.permit('a', never());
    leaving.abort();
    assert.equal(await asked, null);
    assert.equal(await connects.permit('a', leaving.signal), null);
    hold?.(null);
    assert.equal(typeof (await next), 'function');
    assert.deepEqual(connects.counts, { waiting: 0, underWay: 1, granted: 2 });
  });
});

/** All promises that can. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
