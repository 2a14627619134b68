import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { messageIds, parseHead } from './mail-head.ts';

const MB = 1024 * 1024;

function head(...lines: readonly string[]) {
  return parseHead(Buffer.from(`${lines.join('\r\n')}\r\n\r\nSubject: of the body\r\n`));
}

/** Hostile input may take no longer than a slow machine needs for reading it once. */
function soon<T>(read: () => T): T {
  const started = performance.now();
  const result = read();
  const ms = performance.now() - started;
  assert.ok(ms < 3000, `took ${Math.round(ms)} ms`);
  return result;
}

describe('a mail head', () => {
  it('says who wrote to whom, when and in answer to what', () => {
    const read = head(
      'Date: Sat, 21 Nov 2026 10:00:00 +0130',
      'From: "Doe, Kim" <Kim@Example.com>',
      'Sender: robot@example.com (a robot)',
      'Reply-To: <answers@example.com>',
      'To: Lee <lee@example.com>, Team: a@example.com, "b" <b@example.com>;, c@example.com',
      'Cc: =?utf-8?q?J=C3=BCrgen?= <j@example.com>',
      'Subject: Re: =?UTF-8?B?WmHFvMOzxYLEhw==?=',
      ' =?UTF-8?Q?_g=C4=99=C5=9Bl=C4=85?= and',
      '\tmore',
      'Message-ID: <1@example.com>',
      'In-Reply-To: <0@example.com>',
      'References: <a@example.com>',
      ' <0@example.com>',
      'X-Other: kept too',
    );
    assert.equal(read.writtenAt?.toISOString(), '2026-11-21T08:30:00.000Z');
    assert.deepEqual(read.from, [{ name: 'Doe, Kim', email: 'Kim@Example.com' }]);
    assert.deepEqual(read.sender, [{ name: 'a robot', email: 'robot@example.com' }]);
    assert.deepEqual(read.replyTo, [{ name: '', email: 'answers@example.com' }]);
    assert.deepEqual(
      read.to.map(({ email }) => email),
      ['lee@example.com', 'a@example.com', 'b@example.com', 'c@example.com'],
    );
    assert.deepEqual(read.cc, [{ name: 'Jürgen', email: 'j@example.com' }]);
    assert.deepEqual(read.bcc, []);
    assert.equal(read.subject, 'Re: Zażółć gęślą and more');
    assert.equal(read.messageId, '<1@example.com>');
    assert.deepEqual(read.inReplyTo, ['<0@example.com>']);
    assert.deepEqual(read.references, ['<a@example.com>', '<0@example.com>']);
    assert.deepEqual(read.fields.at(-1), ['x-other', 'kept too']);
    assert.deepEqual(read.fields.map(([name]) => name).slice(0, 3), ['date', 'from', 'sender']);
  });

  it('ends at the first empty line, whichever line ends it is written with', () => {
    for (const end of ['\n', '\r\n']) {
      const read = parseHead(Buffer.from(['Subject: one', 'To: a@b.c', '', 'Subject: two', 'Cc: c@d.e'].join(end)));
      assert.deepEqual([read.subject, read.to.length, read.cc.length], ['one', 1, 0]);
    }
  });

  it('takes the first of what may stand once, and all of what may not', () => {
    const read = head('From: a@b.c', 'From: evil@b.c', 'Subject: one', 'Subject: two', 'To: d@e.f', 'To: g@h.i');
    assert.deepEqual([read.from.map(({ email }) => email), read.subject], [['a@b.c'], 'one']);
    assert.deepEqual(
      read.to.map(({ email }) => email),
      ['d@e.f', 'g@h.i'],
    );
  });

  it('may be cut anywhere', () => {
    const whole = Buffer.from(
      'From: Jürgen <j@example.com>\r\nSubject: Grüße =?utf-8?b?w6TDtg==?=\r\n fort\r\nReferences: <a@b> <c@d>\r\nDate: Fri, 20 Nov 2026 10:00 +0000\r\n\r\n',
    );
    for (let end = 0; end <= whole.length; end += 1) {
      const { subject } = parseHead(whole.subarray(0, end));
      assert.ok('Grüße äö fort'.startsWith(subject.replace(/(\ufffd|\s?=\?.*|=)$/, '').trimEnd()), subject);
    }
    assert.equal(parseHead(Buffer.alloc(0)).messageId, null);
  });

  it('reads text in no encoding or in the wrong one', () => {
    const latin = parseHead(
      Buffer.from('From: J\xfcrgen <j@b.c>\r\nSubject: Gr\xfc\xdfe 5\r\nTo: M\xfcller@b.c\r\n', 'latin1'),
    );
    assert.equal(latin.subject, 'Grüße 5');
    assert.deepEqual(latin.from, [{ name: 'Jürgen', email: 'j@b.c' }]);
    assert.equal(head('Subject: Grüße').subject, 'Grüße');
    assert.equal(head('Subject: =?nonsense?b?w6Q=?= =?utf-8?q?=C3?= =?utf-8?b?open').subject.isWellFormed(), true);
    assert.equal(head('Subject: =?utf-8?q?unterminated').subject, '=?utf-8?q?unterminated');
    assert.equal(head('Subject: a\0b=?utf-8?q?=00c?=').subject, 'a b c');
    for (const [, value] of head('X-Nul: a\0b', 'Subject: \0').fields) assert.doesNotMatch(value, /\0/);
  });

  it('passes over lines that are no field', () => {
    const read = head(
      'From sender Fri Nov 20 10:00:00 2026',
      'no field',
      ' continued',
      ': empty',
      'Sub ject: no',
      'Subject : yes',
    );
    assert.deepEqual(read.fields, [['subject', 'yes']]);
  });

  it('keeps servers and leaves out those without an address', () => {
    const from = (value: string) => head(`From: ${value}`).from;
    assert.deepEqual(from('MAILER-DAEMON (Mail Delivery System)'), [{ name: '', email: 'MAILER-DAEMON' }]);
    assert.deepEqual(from('<MAILER-DAEMON>'), [{ name: '', email: 'MAILER-DAEMON' }]);
    assert.deepEqual(from('Mail System <>'), []);
    assert.deepEqual(from('<>'), []);
    assert.deepEqual(head('To: undisclosed-recipients:;').to, []);
    assert.deepEqual(from(`${'x'.repeat(5000)} <a@b.c>`), [{ name: '', email: 'a@b.c' }]);
  });

  it('reads dates as they are written', () => {
    const iso = (value: string) => head(`Date: ${value}`).writtenAt?.toISOString() ?? null;
    for (const [value, expected] of [
      ['Fri, 20 Nov 2026 23:59:59 -0800 (PST)', '2026-11-21T07:59:59.000Z'],
      ['20 Nov 2026 10:00 GMT', '2026-11-20T10:00:00.000Z'],
      ['Friday, 20 November 2026 10:00:00 EST', '2026-11-20T15:00:00.000Z'],
      ['Fri, 20 Nov 96 10:00:00', '1996-11-20T10:00:00.000Z'],
      ['Fri, 20 Nov 2026 10:00:00 CEST', '2026-11-20T10:00:00.000Z'],
      ['yesterday', null],
      ['99 Foo 2026 10:00:00 +0000', null],
      ['1 Jan 0001 10:00:00 +0000', null],
      ['', null],
      [`1 ${'1 '.repeat(10_000)}`, null],
    ] as const) {
      assert.equal(iso(value), expected, value);
    }
  });

  it('has bounds, whatever it is filled with', () => {
    const ids = Buffer.from(`References: ${'<a@b> '.repeat((10 * MB) / 6)}\r\n`);
    assert.equal(soon(() => parseHead(ids)).references.length, 200);
    const folded = Buffer.from(`References:${'\r\n <a@b>'.repeat(MB)}\r\n\r\n`);
    assert.equal(soon(() => parseHead(folded)).references.length, 200);
    const fields = Buffer.from(
      `${Array.from({ length: 5000 }, (_, at) => `X-${at}: ${at}\r\n`).join('')}Subject: late\r\n`,
    );
    const many = soon(() => parseHead(fields));
    assert.equal(many.subject, 'late');
    assert.ok(many.fields.length < 500);
    const same = Buffer.from('To: a@b.c\r\n'.repeat(100_000));
    assert.ok(soon(() => parseHead(same)).to.length <= 500);
    const people = Buffer.from(`To: ${Array.from({ length: 10_000 }, (_, at) => `P <p${at}@b.c>`).join(', ')}\r\n`);
    assert.equal(soon(() => parseHead(people)).to.length, 500);
  });

  it('takes no longer for what is made to be slow', () => {
    const hostile = [
      '<',
      '<a@',
      '>',
      '<<>',
      ' ',
      '\t',
      'a:',
      '(',
      '"',
      '\\',
      '"\\',
      '@',
      'a@b ',
      ',',
      ';',
      '=?',
      '=?a?b?AAAA?=',
      '=?a?q?_',
      '=\t',
      ':',
      '::',
      '\r',
      '\n',
      '\r\n',
      '\r\n ',
      '\0',
      '\xff',
      '\ud83d',
      '-',
      '1 ',
    ];
    for (const piece of hostile) {
      const long = Buffer.from(piece.repeat(MB / piece.length));
      for (const name of ['From', 'To', 'Subject', 'References', 'Message-ID', 'Date', 'X-Other']) {
        const read = soon(() => parseHead(Buffer.concat([Buffer.from(`${name}: `), long])));
        assert.ok(read.to.length <= 500 && read.references.length <= 200 && read.subject.length <= 2000);
      }
      soon(() => parseHead(long));
    }
  });
});

describe('message ids', () => {
  it('stand in angle brackets', () => {
    assert.deepEqual(messageIds('<a@b> (comment) <c@d><e@f>, text'), ['<a@b>', '<c@d>', '<e@f>']);
    assert.deepEqual(messageIds('Your mail of Friday <a@b>'), ['<a@b>']);
    assert.deepEqual(messageIds('<long\r\n part@b>'), ['<longpart@b>']);
    assert.deepEqual(messageIds('a@b'), ['<a@b>']);
    for (const none of ['', '<>', '<@>', '<a@>', '<@b>', 'no id', 'a b@c', '<a', 'a>', `<${'a'.repeat(1000)}@b>`]) {
      assert.deepEqual(messageIds(none), [], none);
    }
    assert.equal(messageIds(`<${'a'.repeat(994)}@b>`).length, 1);
  });

  it('are cut in the middle of a long list', () => {
    const ids = Array.from({ length: 1000 }, (_, at) => `<${at}@b>`);
    const kept = messageIds(ids.join(' '));
    assert.deepEqual(kept, [...ids.slice(0, 20), ...ids.slice(-180)]);
    assert.deepEqual(messageIds(ids.slice(0, 200).join(' ')), ids.slice(0, 200));
  });
});
