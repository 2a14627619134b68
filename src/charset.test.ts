import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inCharset, inNoCharset, inWindows1252 } from './charset.ts';
import { decodeWords, inUtf8Words } from './encoded-words.ts';
import { parseContent } from './providers/mail-content.ts';
import { parseHead } from './providers/mail-head.ts';
import { reportParts, shownText } from './replies/report-parts.ts';

/** “5 €” – as Windows wrote it. */
const SAID = '“5 €” – it’s';
const BYTES = Buffer.from('\x935 \x80\x94 \x96 it\x92s', 'latin1');

describe('text in Windows-1252', () => {
  it('has quotation marks and the euro sign, by each of its names', () => {
    for (const charset of [
      'windows-1252',
      'Windows-1252',
      ' cp1252 ',
      'iso-8859-1',
      'ISO-8859-1',
      'latin1',
      'us-ascii',
    ])
      assert.equal(inCharset(BYTES, charset), SAID, charset);
    assert.equal(inWindows1252(BYTES), SAID);
  });

  it('takes every byte', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
    const text = inWindows1252(all);
    assert.equal(text.length, 256);
    assert.equal(text.slice(0, 128), all.toString('latin1', 0, 128));
    assert.equal(text.slice(160), all.toString('latin1', 160));
    assert.equal([...text.slice(128, 160)].filter((letter) => /\p{Cc}/u.test(letter)).length, 5);
    assert.equal(inWindows1252(all.subarray(128, 129)), '€');
  });

  it('is read in every part of a mail', () => {
    const word = '=?windows-1252?Q?=935_=80=94_=96_it=92s?=';
    const head = parseHead(
      Buffer.from(`Subject: ${word}\r\nFrom: ${word} <kim@example.org>\r\nTo: "${word}" <a@b.c>\r\n`),
    );
    assert.equal(head.subject, SAID);
    assert.deepEqual([head.from[0]?.name, head.to[0]?.name], [SAID, SAID]);
    const raw = parseHead(Buffer.concat([Buffer.from('Subject: '), BYTES, Buffer.from('\r\n')]));
    assert.equal(raw.subject, SAID);
    for (const charset of ['; charset=windows-1252', '; charset="iso-8859-1"', '']) {
      const mail = Buffer.concat([Buffer.from(`Content-Type: text/plain${charset}\r\n\r\n`), BYTES]);
      assert.equal(parseContent(mail).text, SAID);
      assert.deepEqual(
        reportParts(mail).map((part) => shownText(part, 1000)),
        [SAID],
      );
    }
    for (const name of [`name="${word}"`, "name*=windows-1252''%935%20%80%94%20%96%20it%92s"]) {
      const mail = Buffer.from(`Content-Type: application/pdf; ${name}\r\n\r\nx`);
      assert.equal(parseContent(mail).attachments[0]?.filename, SAID);
    }
  });
});

describe('text in another character set', () => {
  it('is UTF-8 or Windows-1252 where none is named, wherever it is cut', () => {
    const utf8 = Buffer.from('Grüße, 5 €');
    for (const length of [utf8.length, utf8.length - 1, utf8.length - 2])
      assert.match(inNoCharset(utf8.subarray(0, length)), /^Grüße, 5 (€|\ufffd)$/);
    assert.equal(inNoCharset(BYTES), SAID);
    assert.equal(inNoCharset(Buffer.alloc(0)), '');
  });

  it('is read by its name, and as UTF-8 where nobody knows it', () => {
    assert.equal(inCharset(Buffer.from([0xcf, 0xf0, 0xe8]), 'windows-1251'), 'При');
    assert.equal(inCharset(Buffer.from([0xa4]), 'iso-8859-15'), '€');
    assert.equal(inCharset(Buffer.from('é€'), ''), 'é€');
    assert.equal(inCharset(Buffer.from('é€'), 'x-nobody-knows'), 'é€');
    assert.equal(inCharset(Buffer.from('é€'), 'x'.repeat(100_000)), 'é€');
  });
});

describe('encoded words', () => {
  it('are joined as before, whatever they are written in', () => {
    for (const [written, read] of [
      ['=?utf-8?Q?Gr=C3=B6=C3=9Fe?=', 'Größe'],
      ['=?iso-8859-1?q?Gr=F6?= =?ISO-8859-1?Q?=DFe?=', 'Größe'],
      ['=?windows-1252?B?gA==?= 5', '€ 5'],
      ['=?windows-1252*en?Q?=80?=', '€'],
      ['=?iso-8859-1?Q?no end', '=?iso-8859-1?Q?no end'],
      ['=?windows-1251?B?z/Do?=', 'При'],
      ['no words = ? at all', 'no words = ? at all'],
    ] as const)
      assert.equal(decodeWords(written), read, written);
  });

  it('take linear time', () => {
    const began = performance.now();
    inUtf8Words('=?'.repeat(100_000));
    inUtf8Words('=?windows-1252?Q?'.repeat(10_000));
    inUtf8Words(`=?windows-1252?Q?${'=80'.repeat(100_000)}`);
    assert.ok(performance.now() - began < 1000);
  });
});
