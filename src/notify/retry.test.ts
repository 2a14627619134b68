import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RetrySchedule } from '../grants/settings.ts';
import type { Outcome } from './destination.ts';
import { attemptsOf, decide, type Verdict } from './retry.ts';

const NOW = Date.UTC(2026, 10, 21, 12);

interface Given {
  readonly attempt?: number;
  readonly schedule?: RetrySchedule;
  readonly status?: number;
  readonly kind?: Outcome['kind'];
  readonly retryAfter?: string;
  readonly random?: number;
}

function after(given: Given): Verdict {
  const status = given.status ?? null;
  return decide({
    schedule: given.schedule ?? 'default',
    attempt: given.attempt ?? 1,
    outcome: { kind: given.kind ?? 'status', status, retryAfter: given.retryAfter ?? null },
    now: NOW,
    random: given.random ?? 0.5,
  });
}

function waitAfter(given: Given): number {
  const verdict = after(given);
  assert.ok(verdict.kind === 'retry', `${verdict.kind} after ${JSON.stringify(given)}`);
  return (verdict.at - NOW) / 1000;
}

test('any 2xx is success, also when its body was longer than we care for', () => {
  for (const status of [200, 201, 202, 204, 299]) assert.equal(after({ kind: 'ok', status }).kind, 'delivered');
  assert.equal(after({ kind: 'too_large', status: 200 }).kind, 'delivered');
  assert.equal(after({ kind: 'too_large', status: 500 }).kind, 'retry');
});

test('the default schedule has eight attempts', () => {
  const waits = [1, 2, 3, 4, 5, 6, 7].map((attempt) => waitAfter({ status: 500, attempt }));
  assert.deepEqual(waits, [5, 300, 1800, 7200, 18_000, 36_000, 36_000]);
  assert.equal(after({ status: 500, attempt: 8 }).kind, 'exhausted');
  assert.equal(attemptsOf('default'), 8);
});

test('every wait has 20 % jitter either way', () => {
  assert.equal(waitAfter({ status: 500, random: 0 }), 4);
  assert.equal(waitAfter({ status: 500, random: 0.999999 }), 6);
});

test('the jitter is the same part of every wait of both schedules', () => {
  const planned = { default: [5, 300, 1800, 7200, 18_000, 36_000, 36_000], nylas: [150, 750] };
  for (const schedule of ['default', 'nylas'] as const) {
    for (const [at, wait] of planned[schedule].entries()) {
      const given = { schedule, status: 503, attempt: at + 1 };
      assert.equal(waitAfter({ ...given, random: 0 }), wait * 0.8);
      assert.equal(waitAfter({ ...given, random: 0.5 }), wait);
      assert.ok(Math.abs(waitAfter({ ...given, random: 0.999_999 }) - wait * 1.2) < 0.1);
    }
    const last = planned[schedule].length + 1;
    for (const attempt of [last, last + 1, 32_767]) {
      assert.equal(after({ schedule, status: 503, attempt }).kind, 'exhausted');
      assert.equal(after({ schedule, kind: 'ok', status: 200, attempt }).kind, 'delivered');
    }
  }
});

test('every failure is retried by default, 410 is not', () => {
  for (const status of [400, 401, 404, 429, 500, 503]) assert.equal(after({ status }).kind, 'retry');
  for (const status of [301, 302, 307]) assert.equal(after({ kind: 'redirect', status }).kind, 'retry');
  for (const kind of [
    'timeout',
    'refused',
    'dns',
    'tls',
    'blocked',
    'closed',
    'invalid_url',
    'unrenderable',
  ] as const) {
    assert.equal(after({ kind }).kind, 'retry');
  }
  assert.equal(after({ status: 410 }).kind, 'stopped');
  assert.equal(after({ kind: 'gone' }).kind, 'stopped');
});

test('after 429 and after a timeout a minute passes at least', () => {
  assert.equal(waitAfter({ status: 429 }), 60);
  assert.equal(waitAfter({ kind: 'timeout' }), 60);
  assert.equal(waitAfter({ status: 429, attempt: 2 }), 300);
});

test('the floor and the ceiling hold for whatever jitter', () => {
  for (const random of [0, 0.999_999]) {
    assert.equal(waitAfter({ status: 429, random }), 60);
    assert.equal(waitAfter({ kind: 'timeout', random }), 60);
    assert.equal(waitAfter({ status: 429, retryAfter: '3600', random }), 3600);
    assert.equal(waitAfter({ status: 429, retryAfter: '3601', random }), 3600);
    assert.equal(waitAfter({ status: 429, retryAfter: '3600', random: 0.5, attempt: 6 }), 36_000);
  }
  assert.equal(waitAfter({ schedule: 'nylas', status: 429, retryAfter: '600' }), 600);
  assert.equal(waitAfter({ kind: 'redirect', status: 301, retryAfter: '90' }), 90);
});

test('Retry-After is honoured where it is later than the plan, up to an hour', () => {
  assert.equal(waitAfter({ status: 503, retryAfter: '120' }), 120);
  assert.equal(waitAfter({ status: 503, retryAfter: '1' }), 5);
  assert.equal(waitAfter({ status: 503, retryAfter: '999999999' }), 3600);
  assert.equal(waitAfter({ status: 503, retryAfter: 'Sat, 21 Nov 2026 12:10:00 GMT' }), 600);
  assert.equal(waitAfter({ status: 503, retryAfter: 'Sat, 21 Nov 2020 12:10:00 GMT' }), 5);
  assert.equal(waitAfter({ status: 503, retryAfter: 'soon' }), 5);
  assert.equal(waitAfter({ status: 503, retryAfter: '-5' }), 5);
  assert.equal(waitAfter({ status: 429, retryAfter: '90' }), 90);
});

test('the nylas schedule: three attempts, the last 10 to 20 minutes after the first, for its own list', () => {
  for (const status of [408, 429, 502, 503, 504, 507]) assert.equal(after({ schedule: 'nylas', status }).kind, 'retry');
  for (const kind of ['timeout', 'refused', 'dns', 'tls', 'closed'] as const) {
    assert.equal(after({ schedule: 'nylas', kind }).kind, 'retry');
  }
  for (const status of [400, 404, 500, 501]) assert.equal(after({ schedule: 'nylas', status }).kind, 'stopped');
  assert.equal(after({ schedule: 'nylas', kind: 'redirect', status: 302 }).kind, 'stopped');
  assert.equal(after({ schedule: 'nylas', status: 503, attempt: 3 }).kind, 'exhausted');
  for (const random of [0, 0.999999]) {
    const total = [1, 2].map((attempt) => waitAfter({ schedule: 'nylas', status: 503, attempt, random }));
    const minutes = total.reduce((sum, wait) => sum + wait, 0) / 60;
    assert.ok(minutes >= 10 && minutes + 1 <= 20, `${minutes} minutes`);
  }
});
