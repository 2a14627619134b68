import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { partSize, partText } from './mime-body.ts';
import { mimeField } from './mime-parameters.ts';
import { mimeParts } from './mime-parts.ts';

function parts(...lines: readonly string[]) {
  return mimeParts(Buffer.from(lines.join('\r\n')));
}

function bodies(...lines: readonly string[]): readonly (readonly [string, string, string])[] {
  return parts(...lines).map(({ path, type, body }) => [path, type.value, body.toString()]);
}

describe('the parts of a mail', () => {
  it('are numbered as IMAP does', () => {
    assert.deepEqual(bodies('Subject: x', '', 'hello', ''), [['1', 'text/plain', 'hello\r\n']]);
    assert.deepEqual(
      bodies(
        'Content-Type: multipart/mixed; boundary="a b"',
        '',
        'preamble',
        '--a b',
        'Content-Type: multipart/alternative; boundary=a',
        '',
        '--a',
        '',
        'one',
        '--a',
        'Content-Type: text/html',
        '',
        'two',
        '--a--',
        'epilogue',
        '--a b  ',
        'Content-Type: x/y',
        '',
        'three',
        '--a bc',
        '--a b--',
        'epilogue',
      ),
      [
        ['1.1', 'text/plain', 'one'],
        ['1.2', 'text/html', 'two'],
        ['2', 'x/y', 'three\r\n--a bc'],
      ],
    );
  });

  it('end where the mail ends, or an outer delimiter comes', () => {
    const outer = ['Content-Type: multipart/mixed; boundary=o', '', '--o'];
    assert.deepEqual(
      bodies(...outer, 'Content-Type: multipart/mixed; boundary=i', '', '--i', '', 'x', '--o', '', 'y'),
      [
        ['1.1', 'text/plain', 'x'],
        ['2', 'text/plain', 'y'],
      ],
    );
    assert.deepEqual(bodies(...outer, 'Content-Type: x/y'), [['1', 'x/y', '']]);
    assert.deepEqual(bodies(...outer, 'Content-Type: x/y', '--o', '', 'z'), [
      ['1', 'x/y', ''],
      ['2', 'text/plain', 'z'],
    ]);
    assert.deepEqual(bodies(...outer, '', '--o', '', '--o--'), [
      ['1', 'text/plain', ''],
      ['2', 'text/plain', ''],
    ]);
    assert.deepEqual(bodies('Content-Type: multipart/mixed', '', 'no boundary'), [
      ['1', 'multipart/mixed', 'no boundary'],
    ]);
  });

  it('may be cut anywhere', () => {
    const whole = Buffer.from(
      'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\nhello\n--b\n\nworld\n--b--\n',
    );
    for (let end = 0; end <= whole.length; end += 1) assert.ok(mimeParts(whole.subarray(0, end)).length <= 3);
    assert.deepEqual(
      mimeParts(whole).map(({ body }) => body.toString()),
      ['hello', 'world'],
    );
  });
});

describe('a field with parameters', () => {
  it('is read as RFC 2045 and RFC 2231 have it', () => {
    const of = (field: string, name: string) => mimeField(field).parameters.get(name);
    assert.equal(mimeField(' Text/HTML ; charset=x').value, 'text/html');
    assert.equal(mimeField('text/plain (a comment); charset=x').value, 'text/plain');
    assert.equal(of('x; name="a;\\"b\\".txt"; size=5', 'name'), 'a;"b".txt');
    assert.equal(of('x; name = a b.txt ; size=5', 'name'), 'a b.txt');
    assert.equal(of('x; NAME=Invoice(1).pdf', 'name'), 'Invoice(1).pdf');
    assert.equal(of('x; name=one; name=two', 'name'), 'one');
    assert.equal(of("x; filename*=utf-8''na%C3%AFve%20.txt; filename=naive.txt", 'filename'), 'naïve .txt');
    assert.equal(of("x; filename*1*=%C3%B1.txt; filename*0*=iso-8859-1'en'%F1", 'filename'), 'ñÃ±.txt');
    assert.equal(of('x; filename*0="a b"; filename*1="%41.txt"', 'filename'), 'a b%41.txt');
    assert.equal(of('x; name="=?utf-8?q?J=C3=BC?="', 'name'), 'Jü');
    assert.equal(of('x; name="open', 'name'), 'open');
    assert.equal(of("x; filename*=nonsense''%41", 'filename'), 'A');
  });
});

describe('the body of a part', () => {
  const part = (body: string | Buffer, encoding = '', type = 'text/plain') => ({
    body: Buffer.from(body),
    encoding,
    type: mimeField(type),
  });

  it('is decoded', () => {
    assert.equal(partText(part('Gr=C3=BC=\r\n=c3=9Fe =XX =', 'quoted-printable'), 100), 'Grüße =XX =');
    assert.equal(partText(part('R3LDvMOf\r\nZQ==', 'base64'), 100), 'Grüße');
    assert.equal(partText(part(Buffer.from('Gr\xfc\xdfe', 'latin1')), 100), 'Grüße');
    assert.equal(partText(part(Buffer.from('Gr\xfc\xdfe', 'latin1'), '', 'x; charset=ISO-8859-1'), 100), 'Grüße');
    assert.equal(partText(part('Grüße', '8bit', 'x; charset=us-ascii'), 100), 'Grüße');
    assert.equal(partText(part('Grüße', '8bit', 'x; charset=nonsense'), 100), 'Grüße');
    assert.equal(partText(part('Grüße'), 3), 'Grü');
  });

  it('is as long as it is when decoded', () => {
    for (const text of ['', 'a', 'ab', 'abc', 'Grüße'.repeat(50)]) {
      const lines = Buffer.from(text).toString('base64').replace(/.{20}/g, '$&\r\n');
      assert.equal(partSize(part(lines, 'base64')), Buffer.byteLength(text));
    }
    assert.equal(partSize(part('a=3D=\r\nb', 'quoted-printable')), 3);
    assert.equal(partSize(part('abc', '7bit')), 3);
  });
});
