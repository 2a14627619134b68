import assert from 'node:assert/strict';
import { test } from 'node:test';
import { baseSubject } from './base-subject.ts';

const SAME: readonly (readonly [subject: string, base: string])[] = [
  ['Offer', 'offer'],
  ['Re: Offer', 'offer'],
  ['RE:Offer', 'offer'],
  ['AW: WG: SV: Offer', 'offer'],
  ['Re[2]: Re(3): Re^4: Offer', 'offer'],
  ['Fwd: FW : Offer', 'offer'],
  [' Re:\r\n  An   Offer ', 'an offer'],
  ['回复：Re: 报价', '报价'],
  ['Отв: Цена', 'цена'],
  ['Rechnung: 17', 'rechnung: 17'],
  ['Regarding: that', 'regarding: that'],
  ['Re:', ''],
  ['', ''],
];

test('subjects are the same without what answering put before them', () => {
  for (const [subject, base] of SAME) assert.equal(baseSubject(subject), base, subject);
});

test('hostile subjects cost little', () => {
  for (const subject of [
    're:'.repeat(100_000),
    're[1'.repeat(100_000),
    ' '.repeat(1_000_000),
    '\ud800\0'.repeat(500),
  ]) {
    const start = performance.now();
    assert.ok(baseSubject(subject).length <= 1_000);
    assert.ok(performance.now() - start < 200);
  }
});
