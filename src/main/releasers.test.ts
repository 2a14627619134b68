import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Releasers } from './releasers.ts';

function ground() {
  const logged: { readonly event: string; readonly [name: string]: unknown }[] = [];
  const log = pino(
    { level: 'info', base: null, messageKey: 'event' },
    { write: (line) => void logged.push(JSON.parse(line)) },
  );
  return { releasers: new Releasers(log), logged };
}

describe('stopping', () => {
  it('goes by phases, within one in reverse, and only once', async () => {
    const { releasers } = ground();
    const order: string[] = [];
    for (const [phase, name] of [
      ['tools', 'database'],
      ['doors', 'edge'],
      ['ledger', 'spool'],
      ['doors', 'api'],
      ['work', 'notify'],
    ] as const) {
      releasers.add(phase, name, () => void order.push(name));
    }
    assert.equal(releasers.begun, false);
    await Promise.all([releasers.release(), releasers.release()]);
    assert.equal(releasers.begun, true);
    assert.deepEqual(order, ['notify', 'api', 'edge', 'spool', 'database']);
  });

  it('stops the workers all at once', async () => {
    const { releasers } = ground();
    const began: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      releasers.add('work', name, async () => {
        began.push(name);
        await delay(200);
      });
    }
    const at = performance.now();
    await releasers.release();
    assert.deepEqual(began.sort(), ['a', 'b', 'c']);
    assert.ok(performance.now() - at < 500);
  });

  it('goes on where a part fails, and names the ones that are late', async () => {
    const { releasers, logged } = ground();
    const order: string[] = [];
    releasers.add('ledger', 'last', () => void order.push('last'));
    releasers.add('ledger', 'stuck', () => delay(10_000, null, { ref: false }));
    releasers.add('doors', 'broken', () => {
      throw new Error('no');
    });
    releasers.add('tools', 'tool', () => void order.push('tool'));
    const awake = setInterval(() => {}, 1000); // the bound of a phase does not keep the process
    await releasers.release();
    clearInterval(awake);
    assert.deepEqual(order, ['tool']);
    assert.deepEqual(
      logged.map(({ event, part, parts }) => [event, part ?? parts]),
      [
        ['part.stop_failed', 'broken'],
        ['part.stopped_late', ['stuck', 'last']],
      ],
    );
  });
});
