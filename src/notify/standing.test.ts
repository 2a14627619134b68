import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, type Recent, type Standing } from './standing.ts';

const MINUTE_MS = 60_000;
const THRESHOLDS = { failingMinutes: 15, failedHours: 72, failurePercent: 95 };

function active(recent: Partial<Recent>): ReturnType<typeof judge> {
  return judge({ status: 'active', recent: { ...RECENT, ...recent }, since: null }, THRESHOLDS);
}

function failing(recent: Partial<Recent>, since: Standing['since']): ReturnType<typeof judge> {
  return judge({ status: 'failing', recent: { ...RECENT, ...recent }, since }, THRESHOLDS);
}

const RECENT: Recent = { succeeded: 0, failed: 20, spanMs: 15 * MINUTE_MS, idleMs: MINUTE_MS };

test('an active one fails at 95 % over the whole time, and with five attempts at least', () => {
  assert.equal(active({}), 'failing');
  assert.equal(active({ failed: 95, succeeded: 5 }), 'failing');
  assert.equal(active({ failed: 94, succeeded: 5 }), null);
  assert.equal(active({ spanMs: 10 * MINUTE_MS }), null);
  assert.equal(active({ failed: 5 }), 'failing');
  assert.equal(active({ failed: 4 }), null);
});

test('a failing one recovers below 95 %, with something that arrived', () => {
  assert.equal(failing({ failed: 94, succeeded: 5 }, null), 'active');
  assert.equal(failing({ failed: 95, succeeded: 5 }, null), null);
  assert.equal(failing({ failed: 0, succeeded: 1, spanMs: 0 }, { succeeded: 1, failed: 99, thirds: 3 }), 'active');
});

test('a failing one has failed after its time, unless nothing was tried lately', () => {
  assert.equal(failing({}, null), null);
  assert.equal(failing({}, { succeeded: 0, failed: 5, thirds: 3 }), 'failed');
  assert.equal(failing({}, { succeeded: 0, failed: 4, thirds: 3 }), null);
  assert.equal(failing({}, { succeeded: 6, failed: 94, thirds: 3 }), null);
  assert.equal(failing({}, { succeeded: 0, failed: 99, thirds: 2 }), null);
  assert.equal(failing({ idleMs: 20 * MINUTE_MS }, { succeeded: 0, failed: 99, thirds: 3 }), null);
});

test('the share is a setting', () => {
  const recent = { ...RECENT, failed: 6, succeeded: 4 };
  assert.equal(judge({ status: 'active', recent, since: null }, { ...THRESHOLDS, failurePercent: 60 }), 'failing');
  assert.equal(judge({ status: 'active', recent, since: null }, { ...THRESHOLDS, failurePercent: 61 }), null);
});
