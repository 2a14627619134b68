import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { partBytes, partSize, partText } from './mime-body.ts';
import { mimeParts } from './mime-parts.ts';

function only(...lines: readonly string[]): ReturnType<typeof mimeParts>[number] {
  const [part] = mimeParts(Buffer.from(lines.join('\r\n')));
  assert.ok(part);
  return part;
}

describe('the body of a part', () => {
  it('is joined where a line end does not count, also where blanks were added on the way', () => {
    const part = only('Content-Transfer-Encoding: quoted-printable (of sorts)', '', 'one=', 'two= \t', 'three=3D= x=');
    assert.equal(partText(part, 100), 'onetwothree== x=');
    assert.equal(partSize(part), 16);
    const began = performance.now();
    partSize({ encoding: 'quoted-printable', body: Buffer.from(`=${' '.repeat(1000)}`.repeat(1000)) });
    assert.ok(performance.now() - began < 500);
  });

  it('is text that was cut within a character', () => {
    const part = only('', 'Grüße, 5 €');
    const cut = { ...part, body: part.body.subarray(0, part.body.length - 1) };
    assert.equal(partText(cut, 100), 'Grüße, 5 \ufffd');
  });

  it('is looked at as far as is asked', () => {
    assert.equal(partBytes(only('Content-Transfer-Encoding: base64', '', 'aGVsbG8gdGhlcmU='), 8).toString(), 'hello ');
  });
});
