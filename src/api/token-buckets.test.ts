import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeTokenBuckets, type TokenBuckets } from './token-buckets.ts';

interface Ground {
  readonly buckets: TokenBuckets;
  readonly clock: { now: number };
  /** How many tokens are there now. */
  drain(name: string): number;
}

function ground(perSecond: number, most = 100): Ground {
  const clock = { now: 5_000_000 };
  const buckets = makeTokenBuckets({ perSecond, most, now: () => clock.now });
  return {
    buckets,
    clock,
    drain(name) {
      for (let taken = 0; ; taken++) {
        if (buckets.wait(name) > 0) return taken;
        buckets.take(name);
      }
    },
  };
}

describe('a token bucket', () => {
  it('holds what comes in a second, and no more after an hour', () => {
    const { drain, clock } = ground(10);
    assert.equal(drain('a'), 10);
    assert.equal(drain('a'), 0);
    clock.now += 3_600_000;
    assert.equal(drain('a'), 10);
  });

  it('fills evenly and says how long the next token takes', () => {
    const { buckets, drain, clock } = ground(10);
    drain('a');
    assert.equal(buckets.wait('a'), 100);
    clock.now += 60;
    assert.ok(Math.abs(buckets.wait('a') - 40) < 0.001);
    clock.now += 190;
    assert.equal(drain('a'), 2);
  });

  it('lets no more through in any second than the second holds, whenever it is looked at', () => {
    const { drain, clock } = ground(7);
    let taken = drain('a');
    for (let step = 0; step < 300; step++) {
      clock.now += 33;
      taken += drain('a');
    }
    assert.ok(taken >= 75 && taken <= 7 + 7 * 9.9 + 1, `${taken} in 9.9 s`);
  });

  it('is nobody else’s', () => {
    const { drain } = ground(3);
    assert.equal(drain('a'), 3);
    assert.equal(drain('b'), 3);
  });

  it('is forgotten where there are too many, the newest last', () => {
    const { buckets, drain } = ground(2, 10);
    drain('first');
    for (let number = 0; number < 15; number++) buckets.take(`made up ${number}`);
    assert.equal(drain('first'), 0, 'as many as are remembered leave it known');
    for (let number = 0; number < 40; number++) buckets.take(`made up again ${number}`);
    assert.equal(drain('first'), 2);
    assert.equal(buckets.wait('made up again 39'), 0);
  });
});
