import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formOf, type RawPart, SDK_FORMS } from '../../test/support/multipart-forms.ts';
import { ApiError } from '../errors.ts';
import { partsOf } from './multipart-parts.ts';

interface Read {
  readonly headers: Readonly<Record<string, string>>;
  readonly content: string;
}

async function* inPieces(bytes: Buffer, piece: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
}

/** Contents as latin1. */
async function read(bytes: Buffer | string, { boundary = 'b', piece = 65536 } = {}): Promise<Read[]> {
  const parts: Read[] = [];
  for await (const { headers, content } of partsOf(inPieces(Buffer.from(bytes), piece), boundary)) {
    const chunks: Buffer[] = [];
    for await (const chunk of content) {
      assert.ok(chunk.length > 0);
      chunks.push(chunk);
    }
    parts.push({ headers: Object.fromEntries(headers), content: Buffer.concat(chunks).toString('latin1') });
  }
  return parts;
}

const part = (name: string, content: string | Buffer): RawPart => [
  [`Content-Disposition: form-data; name="${name}"`],
  content,
];
const contents = (parts: readonly Read[]): string[] => parts.map(({ content }) => content);

describe('the parts of a form', () => {
  it('are the same in whatever pieces they come', async () => {
    const tricky = '\r\n--\r\r\n--b \r\n-\r\n--\r\n--B\r\n\r\n--a--\r\n--';
    const parts = [part('message', '{}'), part('file0', tricky), part('file1', ''), part('file2', '\r\n')];
    const form = formOf('bb', parts);
    const whole = await read(form, { boundary: 'bb' });
    assert.deepEqual(contents(whole), ['{}', tricky, '', '\r\n']);
    for (let piece = 1; piece < 90; piece++) assert.deepEqual(await read(form, { boundary: 'bb', piece }), whole);
  });

  it('may have text before, behind and after the boundaries', async () => {
    const form = formOf('b', [part('a', 'x'), part('c', 'y')]).toString();
    assert.deepEqual(contents(await read(`This is a form.\r\n${form}and that was it\r\n--b\r\nnot a part`)), [
      'x',
      'y',
    ]);
    assert.deepEqual(contents(await read(`\r\n${form}`)), ['x', 'y']);
    assert.deepEqual(contents(await read(form.replaceAll('--b\r\n', '--b \t\r\n'))), ['x', 'y']);
    assert.deepEqual(contents(await read(form.trimEnd())), ['x', 'y'], 'no line break at the end');
  });

  it('may have no headers, no content or neither', async () => {
    const form = '--b\r\n\r\nbare\r\n--b\r\nB: 2\r\n\r\n\r\n--b\r\n\r\n\r\n--b--';
    for (const piece of [1, 2, 3, 100]) {
      assert.deepEqual(await read(form, { piece }), [
        { headers: {}, content: 'bare' },
        { headers: { b: '2' }, content: '' },
        { headers: {}, content: '' },
      ]);
    }
    assert.deepEqual(await read('--b--\r\n'), []);
  });

  it('have headers that may be folded, in any case, in UTF-8', async () => {
    const form = formOf('b', [[['CONTENT-disposition:form-data;', '\tname="ü"', 'X-Empty:'], 'x']]);
    const [{ headers } = assert.fail()] = await read(form);
    assert.deepEqual(headers, { 'content-disposition': 'form-data;\tname="ü"', 'x-empty': '' });
  });

  it('may begin with what would be a boundary on a line of its own', async () => {
    assert.deepEqual(contents(await read(formOf('b', [part('a', '--b\r\nx'), part('c', '--b--')]))), [
      '--b\r\nx',
      '--b--',
    ]);
  });

  it('keep every byte', async () => {
    const bytes = Buffer.from(Array.from({ length: 1024 }, (_, at) => at & 0xff));
    assert.deepEqual(contents(await read(formOf('b', [part('a', bytes)]), { piece: 100 })), [bytes.toString('latin1')]);
  });

  it('are found with the boundary of each SDK', async () => {
    for (const [sdk, write] of Object.entries(SDK_FORMS)) {
      const content = Buffer.from('-------------RubyMultipartPost-- is no boundary\r\n-----------');
      const { body, contentType } = write({ subject: 'ü' }, [{ filename: 'a', contentType: 'text/plain', content }]);
      const boundary = contentType.split('boundary=')[1] ?? '';
      const found = contents(await read(body, { boundary, piece: 7 }));
      assert.equal(found.length, 2, sdk);
      assert.ok(found.includes(content.toString()), sdk);
      assert.ok(
        found.some((text) => text.startsWith('{') && JSON.parse(text).subject !== undefined),
        sdk,
      );
    }
  });
});

describe('a form that is none', () => {
  const wrong: readonly (readonly [string, string | Buffer, RegExp])[] = [
    ['nothing', '', /no line that begins with the boundary/],
    ['text', 'hello', /no line that begins with the boundary/],
    ['JSON', '{"to": []}', /no line that begins with the boundary/],
    ['another boundary', '--c\r\nA: 1\r\n\r\nx\r\n--c--', /no line that begins with the boundary/],
    ['bare line feeds', '--b\nA: 1\n\nx\n--b--\n', /ends before its last boundary/],
    ['one that ends after a boundary', '--b', /ends before its last boundary/],
    ['one that ends after a dash', '--b-', /ends before its last boundary/],
    ['one that ends in its headers', '--b\r\nContent-Disposition: form-d', /ends before its last boundary/],
    ['one that ends in its content', '--b\r\nA: 1\r\n\r\nx', /ends before its last boundary/],
    ['one that ends before its last boundary', '--b\r\nA: 1\r\n\r\nx\r\n--b\r\n', /ends before its last boundary/],
    [
      'a boundary that text follows',
      '--b\r\nA: 1\r\n\r\nx\r\n--bc\r\n\r\n\r\n--b--',
      /part 2 begins with a boundary that/,
    ],
    ['a boundary within headers', '--b\r\nA: 1\r\n--b\r\nA: 1\r\n\r\nx\r\n--b--', /part 1 has a header that is none/],
    ['a header without a name', '--b\r\n: 1\r\n\r\nx\r\n--b--', /part 1 has a header that is none/],
    ['a header without a colon', '--b\r\nA: 1\r\nB\r\n\r\nx\r\n--b--', /part 1 has a header that is none/],
    ['a NUL in a header', '--b\r\nA: 1\0\r\n\r\nx\r\n--b--', /part 1 has a header that is none/],
    ['a bare line feed in a header', '--b\r\nA: 1\nB: 2\r\n\r\nx\r\n--b--', /part 1 has a header that is none/],
    ['two of one header', '--b\r\nA: 1\r\na: 2\r\n\r\nx\r\n--b--', /part 1 has two headers a\)/],
    ['headers in latin1', Buffer.from('--b\r\nA: \xfc\r\n\r\nx\r\n--b--', 'latin1'), /part 1 are not UTF-8/],
    ['a header without end', `--b\r\nA: ${'x'.repeat(20_000)}`, /part 1 has more than 16 kB of headers/],
    ['headers without end', `--b\r\n${'A: 1\r\n'.repeat(20_000)}`, /part 1 has more than 16 kB of headers/],
    ['too many headers', `--b\r\nA: ${'x'.repeat(20_000)}\r\n\r\nx\r\n--b--`, /part 1 has more than 16 kB of headers/],
  ];
  for (const [name, bytes, message] of wrong) {
    it(`is refused: ${name}`, async () => {
      for (const piece of [7, 65536]) {
        await assert.rejects(read(bytes, { piece }), (error) => {
          assert.ok(error instanceof ApiError);
          assert.equal(error.status, 400);
          assert.equal(error.type, 'api.invalid_request_payload');
          assert.match(error.message, message);
          return true;
        });
      }
    });
  }

  it('ends the reading of what it comes from', async () => {
    let isEnded = false;
    async function* source(): AsyncGenerator<Buffer> {
      try {
        for (;;) yield Buffer.from('--b\r\nwrong\r\n\r\n');
      } finally {
        isEnded = true;
      }
    }
    await assert.rejects(async () => {
      for await (const _ of partsOf(source(), 'b'));
    });
    assert.equal(isEnded, true);
  });

  it('hands on what its source throws', async () => {
    async function* source(): AsyncGenerator<Buffer> {
      yield Buffer.from('--b\r\nA: 1\r\n\r\nx');
      throw new Error('cut');
    }
    await assert.rejects(async () => {
      for await (const { content } of partsOf(source(), 'b')) for await (const _ of content);
    }, /^Error: cut$/);
  });

  it('takes time in proportion to its length, whatever is nearly a boundary in it', async () => {
    const boundary = '-'.repeat(70);
    const nearly = Buffer.from(`\r\n--${'-'.repeat(69)}`);
    const content = Buffer.alloc(8 * 1024 * 1024, nearly);
    const began = performance.now();
    const [{ content: found } = assert.fail()] = await read(formOf(boundary, [part('a', content)]), { boundary });
    assert.equal(found.length, content.length);
    assert.ok(performance.now() - began < 5000);
  });
});
