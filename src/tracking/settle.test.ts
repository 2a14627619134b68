import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeHit } from '../../test/support/recording.ts';
import { uuidTime, uuidv7 } from '../ids.ts';
import type { Hit } from './hit.ts';
import { type Settled, settle } from './settle.ts';

const HOUR = 60 * 60 * 1000;
const DAY = 24 * HOUR;
const now = Date.UTC(2026, 10, 21);
const message = uuidv7(now - 30 * DAY);
const messageTime = now - 30 * DAY;

function hitAt(ms: number, of = message): Hit {
  return makeHit({ app: 1, grant: 1 }, of, { at: new Date(ms) });
}

function settled(hit: Hit, at = now): Settled {
  const result = settle(hit, at);
  assert.ok(typeof result !== 'string', String(result));
  return result;
}

test('a hit of a plausible time keeps its id and time', () => {
  for (const ms of [now, now - 29 * DAY, now + HOUR / 2, messageTime]) {
    const hit = hitAt(ms);
    assert.deepEqual(settled(hit), { id: hit.id, otherId: null, at: hit.at });
  }
});

test('a jumped clock is clamped to the time of the message, to the same id whenever it is read', () => {
  for (const ms of [now + 2 * DAY, Date.UTC(2087, 0, 1), 0, Date.UTC(2026, 0, 2), messageTime - 2 * DAY]) {
    const hit = hitAt(ms);
    const { id, otherId, at } = settled(hit);
    assert.equal(uuidTime(id), messageTime);
    assert.equal(id.slice(14), hit.id.slice(14), 'its own random bits');
    assert.equal(otherId, hit.id);
    assert.equal(at.getTime(), now, 'it happened when it was recorded, as far as anybody knows');
    assert.equal(settled(hit, now + 11 * 60_000).id, id);
  }
});

test('a hit that time has caught up with still knows the id it was clamped to', () => {
  const hit = hitAt(now + 2 * DAY);
  const clamped = settled(hit).id;
  const later = settled(hit, now + DAY + HOUR);
  assert.equal(later.id, hit.id);
  assert.equal(later.otherId, clamped);
});

test('a message from a jumped clock does not drag its hits along', () => {
  const wild = uuidv7(Date.UTC(2087, 0, 1));
  const hit = hitAt(now, wild);
  assert.equal(settled(hit).id, hit.id);
  assert.equal(settle(hitAt(Date.UTC(2087, 0, 2), wild), now), 'clock_jumped');
  assert.equal(settle(hitAt(Date.UTC(2020, 0, 2), wild), now), 'clock_jumped');
});

test('what is no id or no time is refused with its reason', () => {
  assert.equal(settle({ ...hitAt(now), id: 'x' }, now), 'id_malformed');
  assert.equal(settle({ ...hitAt(now), message: `${message}0` }, now), 'id_malformed');
  assert.equal(settle({ ...hitAt(now), at: new Date(Number.NaN) }, now), 'time_malformed');
});
