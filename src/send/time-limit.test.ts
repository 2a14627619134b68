import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { withinLimit } from './time-limit.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** Ends only when it is told to. */
function hanging(signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve('told to stop'), { once: true }));
}

describe('a time limit', () => {
  it('is kept though the garbage is collected in between', async () => {
    const call = withinLimit(150, new AbortController().signal, hanging);
    for (let i = 0; i < 4; i++) {
      await delay(20);
      collectGarbage();
    }
    assert.equal(await Promise.race([call, delay(5_000, 'never', { ref: false })]), 'told to stop');
  });

  it('ends with what cuts it off, before or meanwhile', async () => {
    const cut = new AbortController();
    const call = withinLimit(60_000, cut.signal, hanging);
    cut.abort();
    assert.equal(await call, 'told to stop');
    assert.equal(await withinLimit(60_000, cut.signal, async (signal) => signal.aborted), true);
  });

  it('leaves a call that does not listen', async () => {
    assert.equal(await withinLimit(1, new AbortController().signal, () => new Promise(() => {})), 'over');
  });

  it('leaves nothing behind, whatever comes of the call', async () => {
    const cut = new AbortController();
    assert.equal(await withinLimit(60_000, cut.signal, async () => 'done'), 'done');
    await assert.rejects(
      withinLimit(60_000, cut.signal, () => Promise.reject(new Error('a bug'))),
      /a bug/,
    );
    assert.deepEqual(getEventListeners(cut.signal, 'abort'), []);
    assert.ok(!process.getActiveResourcesInfo().includes('Timeout'));
  });
});
