import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ParsedContent, parseContent } from './mail-content.ts';
import { LONGEST_BODY } from './watch.ts';

const MB = 1024 * 1024;

function mail(...lines: readonly string[]): Buffer {
  return Buffer.from(lines.join('\r\n'));
}

function soon(raw: Buffer): ParsedContent {
  const started = performance.now();
  const parsed = parseContent(raw);
  const ms = performance.now() - started;
  assert.ok(ms < 3000, `took ${Math.round(ms)} ms`);
  return parsed;
}

describe('the content of a mail', () => {
  it('is its bodies and what is attached', () => {
    const parsed = parseContent(
      mail(
        'From: a@b.c',
        'Subject: hello',
        'Content-Type: multipart/mixed; boundary="outer"',
        '',
        '--outer',
        'Content-Type: multipart/alternative; boundary=inner',
        '',
        '--inner',
        'Content-Type: text/plain; charset=iso-8859-1',
        'Content-Transfer-Encoding: quoted-printable',
        '',
        'Gr=FC=DFe',
        '--inner',
        'Content-Type: text/html; charset=utf-8',
        '',
        '<p>Grüße</p>',
        '--inner--',
        '--outer',
        'Content-Type: image/png; name="x.png"',
        'Content-Disposition: inline',
        'Content-ID: <pic@b.c>',
        'Content-Transfer-Encoding: base64',
        '',
        'AAECAw==',
        '--outer',
        'Content-Type: message/rfc822',
        '',
        'Subject: within',
        '',
        'not of the body',
        '--outer--',
        '',
      ),
    );
    assert.equal(parsed.head.subject, 'hello');
    assert.equal(parsed.text?.trim(), 'Grüße');
    assert.equal(parsed.html?.trim(), '<p>Grüße</p>');
    assert.deepEqual(parsed.attachments[0], {
      part: '2',
      filename: 'x.png',
      contentType: 'image/png',
      size: 4,
      isInline: true,
      contentId: 'pic@b.c',
      contentDisposition: 'inline',
    });
    assert.equal(parsed.attachments[1]?.contentType, 'message/rfc822');
    assert.equal(parsed.attachments.length, 2);
  });

  it('is null for the body that there is none of', () => {
    const plain = parseContent(mail('Subject: x', '', 'hello'));
    assert.deepEqual([plain.text?.trim(), plain.html], ['hello', null]);
    const html = parseContent(mail('Content-Type: text/html', '', '<p>hello</p>'));
    assert.deepEqual([html.text, html.html?.trim()], [null, '<p>hello</p>']);
    for (const empty of [Buffer.alloc(0), mail('', ''), mail('Subject: head only'), Buffer.from('\n')]) {
      const parsed = parseContent(empty);
      assert.deepEqual([parsed.text, parsed.html, parsed.attachments], [null, null, []]);
    }
    const bare = parseContent(Buffer.from('Subject: x\n\nhello\r\n\r\nworld'));
    assert.match(bare.text ?? '', /hello\s+world/);
  });

  it('is cut where it is too long', () => {
    const { text } = soon(mail('Subject: x', '', 'a'.repeat(LONGEST_BODY + 10)));
    assert.equal(text?.length, LONGEST_BODY);
  });

  it('has no NUL and no half characters', () => {
    const { text, attachments } = parseContent(
      mail(
        'Content-Type: multipart/mixed; boundary=b',
        '',
        '--b',
        '',
        'a\0b',
        '--b',
        'Content-Type: x/y; name="a\0=?utf-8?q?=00?=b"',
        'Content-Disposition: attachment',
        '',
        'x',
        '--b--',
      ),
    );
    assert.equal(text?.trim(), 'ab');
    assert.doesNotMatch(attachments[0]?.filename ?? '\0', /\0/);
    const utf16 = parseContent(
      Buffer.concat([mail('Content-Type: text/plain; charset=utf-16le', '', ''), Buffer.from([0x3d, 0xd8, 0x41])]),
    );
    assert.equal(utf16.text?.isWellFormed(), true);
  });

  it('of countless parts is read at its beginning', () => {
    const parts = `\r\n--b\r\n\r\nhello\r\n${'--b\r\n'.repeat(1_000_000)}\r\n--b\r\n\r\nlast\r\n`;
    const { text } = soon(Buffer.from(`Content-Type: multipart/mixed; boundary=b\r\n${parts}`));
    assert.match(text ?? '', /^\s*hello\s*$/);
  });

  it('keeps the head of what cannot be taken apart', () => {
    let nested = 'Subject: deep\r\n';
    for (let level = 0; level < 1000; level += 1) {
      nested += `Content-Type: multipart/mixed; boundary=b${level}\r\n\r\n--b${level}\r\n`;
    }
    const deep = soon(Buffer.from(nested));
    assert.deepEqual([deep.head.subject, deep.text, deep.html], ['deep', null, null]);
  });

  it('takes no longer for what is made to be slow', () => {
    const multipart = 'Content-Type: multipart/mixed; boundary=b\r\n\r\n';
    const part = (head: string) => `--b\r\n${head}\r\n\r\nx\r\n`;
    const open = Array.from(
      { length: 40 },
      (_, at) => `Content-Type: multipart/mixed; boundary=b${at}\r\n\r\n--b${at}\r\n`,
    ).join('');
    const hostile: Record<string, string> = {
      'a line of megabytes in the head': `Subject: ${'x'.repeat(10 * MB)}\r\n\r\nhello`,
      'many parts': multipart + part('Content-Transfer-Encoding: quoted-printable').repeat(50_000),
      'many parts without head': multipart + part('').repeat(200_000),
      'many multiparts': multipart + part('Content-Type: multipart/mixed; boundary=c').repeat(50_000),
      'a deep tree and lines like boundaries': `${open}\r\n${'--b3x\r\n'.repeat(MB)}`,
      'a file name of encoded words': multipart + part(`Content-Type: x/y; name="${'=?a?b?AAAA?='.repeat(10_000)}"`),
      'a file name in pieces':
        multipart + part(`Content-Type: x/y${Array.from({ length: 8000 }, (_, at) => `; name*${at}*=%41`).join('')}`),
      'open tags': `Content-Type: text/html\r\n\r\n${'<a '.repeat(MB)}`,
      'tags to be turned into text': `${multipart}${part('Content-Type: text/plain')}--b\r\nContent-Type: text/html\r\n\r\n${'<a href='.repeat(MB / 4)}${'<!--'.repeat(MB / 4)}${'\f'.repeat(MB)}x${'&a'.repeat(MB / 2)}`,
      'text to be turned into tags': `${multipart}${part('Content-Type: text/html')}--b\r\nContent-Type: text/plain\r\n\r\n${'<&"\n'.repeat(MB)}`,
      'flowed lines': `Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\n${'> \r\n'.repeat(MB)}`,
      'base64 that is none': `Content-Transfer-Encoding: base64\r\n\r\n${'=A='.repeat(2 * MB)}`,
      'quoted-printable that is none': `Content-Transfer-Encoding: quoted-printable\r\n\r\n${'=='.repeat(2 * MB)}`,
      comments: `Content-Type: ${'('.repeat(100_000)}\r\n\r\nhello`,
    };
    for (const [name, raw] of Object.entries(hostile)) {
      assert.doesNotThrow(() => soon(Buffer.from(raw)), name);
    }
  });
});
