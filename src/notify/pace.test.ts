import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Ended,
  FRESH,
  isUnremarkable,
  MOST_AT_ONCE,
  type Pace,
  PROMPT_MS,
  paceAfter,
  roomFor,
  SUSPECT,
  withoutWait,
} from './pace.ts';

const OK = { kind: 'ok', status: 200, retryAfter: null } as const;
const DOWN = { kind: 'timeout', status: null, retryAfter: null } as const;

function after(outcomes: readonly Ended['outcome'][], from: Pace = FRESH): Pace {
  return outcomes.reduce((pace, outcome) => paceAfter(pace, { outcome, durationMs: 1, now: 1_000 }), from);
}

test('a destination starts small and grows with its answers', () => {
  assert.equal(roomFor(FRESH, 0, 0), 4);
  assert.equal(roomFor(FRESH, 3, 0), 1);
  assert.equal(after([OK, OK, OK]).window, MOST_AT_ONCE);
});

test('a single failure slows nothing to a probe', () => {
  const pace = after([OK, OK, DOWN]);
  assert.ok(roomFor(pace, 0, 1_000) >= 4);
});

test('a dead destination is probed by one, ever more rarely, at most once a minute', () => {
  const dead = after([DOWN, DOWN, DOWN, DOWN]);
  assert.deepEqual(dead, { window: 1, failuresInRow: 4, notBefore: 2_000, isPrompt: true });
  assert.equal(roomFor(dead, 0, 1_999), 0);
  assert.equal(roomFor(dead, 0, 2_000), 1);
  assert.equal(roomFor(dead, 1, 2_000), 0);
  assert.equal(paceAfter(dead, { outcome: DOWN, durationMs: 1, now: 2_000 }).notBefore, 4_000);
  let pace = dead;
  for (let probe = 0; probe < 1000; probe++) {
    const next = paceAfter(pace, { outcome: DOWN, durationMs: 1, now: pace.notBefore });
    assert.ok(next.notBefore - pace.notBefore <= 60_000);
    pace = next;
  }
});

test('a crowd of failures that began together counts as one step', () => {
  assert.equal(after(Array(16).fill(DOWN), after([OK, OK])).notBefore, 2_000);
});

test('one answer brings it back', () => {
  const back = after([DOWN, DOWN, DOWN, DOWN, DOWN, OK]);
  assert.deepEqual(back, { window: 2, failuresInRow: 0, notBefore: 0, isPrompt: true });
});

test('a receiver that refuses notifications is not dead, one that is overloaded is', () => {
  const refused = { kind: 'status', status: 422, retryAfter: null } as const;
  assert.equal(after(Array(20).fill(refused)).window, MOST_AT_ONCE);
  for (const status of [429, 500, 502, 503]) {
    assert.equal(after(Array(4).fill({ kind: 'status', status, retryAfter: null })).notBefore, 2_000);
  }
});

test('what takes long is slow, whether it answers in the end or not; one prompt answer makes up for it', () => {
  for (const outcome of [OK, DOWN]) {
    const slow = paceAfter(FRESH, { outcome, durationMs: PROMPT_MS, now: 1_000 });
    assert.equal(slow.isPrompt, false);
    assert.equal(isUnremarkable(slow), false);
    const back = after([OK], slow);
    assert.ok(back.isPrompt && isUnremarkable(back));
  }
});

test('what was never sent says nothing about the destination', () => {
  const dead = after([DOWN, DOWN, DOWN, DOWN]);
  for (const kind of ['gone', 'unrenderable'] as const)
    assert.equal(after([{ kind, status: null, retryAfter: null }], dead), dead);
});

test('what failed in an earlier life is tried by one, and is down at once when that fails', () => {
  assert.equal(roomFor(SUSPECT, 0, 0), 1);
  assert.equal(after([DOWN], SUSPECT).notBefore, 2_000);
  assert.equal(roomFor(after([OK], SUSPECT), 0, 1_000), 2);
});

test('a destination that asks to be left alone is, from its first answer on, for an hour at most', () => {
  const asks = (retryAfter: string, status = 429) => ({ kind: 'status', status, retryAfter }) as const;
  assert.equal(after([asks('100')]).notBefore, 101_000);
  assert.equal(after([asks('100', 503)]).notBefore, 101_000);
  assert.equal(after([asks('86400')]).notBefore, 3_601_000);
  assert.equal(after(Array(4).fill(asks('0'))).notBefore, 2_000);
  assert.equal(after([asks('100', 422)]).notBefore, 0, 'that one was about the notification');
  assert.equal(after([OK], after([asks('100')])).notBefore, 0);
});

test('an answer about the address is one of a destination that is down', () => {
  const gone = { kind: 'status', status: 404, retryAfter: null } as const;
  assert.equal(after(Array(4).fill(gone)).notBefore, 0);
  assert.equal(after(Array(4).fill({ ...gone, isAboutAddress: true })).notBefore, 2_000);
});

test('asked for, a destination that is down is probed once at once, and goes on being down where it is', () => {
  const dead = after(Array(8).fill(DOWN));
  const asked = withoutWait(dead);
  assert.equal(roomFor(dead, 0, 1_000), 0);
  assert.equal(roomFor(asked, 0, 1_000), 1);
  assert.ok(after([DOWN], asked).notBefore >= dead.notBefore);
});
