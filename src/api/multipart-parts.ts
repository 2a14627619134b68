// multipart/form-data (RFC 7578, RFC 2046 section 5.1) read as it comes, in the memory of one chunk. Whatever is not
// quite right is refused: a part that is passed over would be an attachment lost without a word.
import { isUtf8 } from 'node:buffer';
import { ApiError } from '../errors.ts';

export interface Part {
  /** By their names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** To be read to its end before the next part is asked for. */
  readonly content: AsyncIterable<Buffer>;
}

const LONGEST_HEAD = 16 * 1024;
const CRLF = '\r\n';
const BLANK_LINE = Buffer.from('\r\n\r\n');
const DASHES = Buffer.from('--');
/** RFC 5322 section 2.2 */
const HEADER = /^([!-9;-~]+)[ \t]*:[ \t]*(.*)$/s;

/** Throws a 400 that says what is wrong, and whatever `source` throws. What follows the last part is read and dropped. */
export async function* partsOf(source: AsyncIterable<Buffer>, boundary: string): AsyncGenerator<Part> {
  const chunks = source[Symbol.asyncIterator]();
  try {
    yield* readParts(readerOf(chunks), boundary);
  } finally {
    await chunks.return?.();
  }
}

async function* readParts(text: Reader, boundary: string): AsyncGenerator<Part> {
  const delimiter = Buffer.from(`${CRLF}--${boundary}`);
  await skip(text.until(delimiter, 'it has no line that begins with the boundary of its Content-Type'));
  for (let number = 1; !(await text.startsWith(DASHES)); number++) {
    const head = await text.head(number);
    const headers = headersOf(head, number);
    const content = text.until(delimiter, CUT_OFF);
    yield { headers, content };
    await skip(content);
  }
  await text.rest();
}

const CUT_OFF = 'it ends before its last boundary';

function malformed(why: string): ApiError {
  return new ApiError(400, 'api.invalid_request_payload', `Invalid multipart payload format. (${why})`);
}

interface Reader {
  /** What comes before `end`, which is dropped. */
  until(end: Buffer, missing: string): AsyncGenerator<Buffer>;
  startsWith(bytes: Buffer): Promise<boolean>;
  /** The rest of a boundary's line and the headers, up to the blank line, which is dropped. */
  head(number: number): Promise<Buffer>;
  rest(): Promise<void>;
}

function readerOf(chunks: AsyncIterator<Buffer>): Reader {
  let held: Buffer = Buffer.from(CRLF); // the first boundary has no line before it
  const more = async (): Promise<boolean> => {
    const next = await chunks.next();
    if (next.done === true) return false;
    held = held.length === 0 ? next.value : Buffer.concat([held, next.value]);
    return true;
  };
  return {
    async *until(end, missing) {
      for (;;) {
        const at = held.indexOf(end);
        const ready = held.subarray(0, at >= 0 ? at : Math.max(0, held.length - end.length + 1));
        held = held.subarray(at >= 0 ? at + end.length : ready.length);
        if (ready.length > 0) yield ready;
        if (at >= 0) return;
        if (!(await more())) throw malformed(missing);
      }
    },
    async startsWith(bytes) {
      while (held.length < bytes.length && bytes.subarray(0, held.length).equals(held)) {
        if (!(await more())) return false;
      }
      return held.subarray(0, bytes.length).equals(bytes);
    },
    async head(number) {
      for (;;) {
        const end = held.indexOf(BLANK_LINE);
        if (end > LONGEST_HEAD || (end < 0 && held.length > LONGEST_HEAD)) {
          throw malformed(`part ${number} has more than ${LONGEST_HEAD / 1024} kB of headers`);
        }
        if (end >= 0) {
          const head = held.subarray(0, end);
          held = held.subarray(end + BLANK_LINE.length);
          return head;
        }
        if (!(await more())) throw malformed(CUT_OFF);
      }
    },
    async rest() {
      do held = held.subarray(held.length);
      while (await more());
    },
  };
}

async function skip(content: AsyncIterable<Buffer>): Promise<void> {
  for await (const _ of content);
}

function headersOf(head: Buffer, number: number): Map<string, string> {
  if (!isUtf8(head)) throw malformed(`the headers of part ${number} are not UTF-8`);
  const [padding = '', ...lines] = head
    .toString('utf8')
    .replace(/\r\n(?=[ \t])/g, '') // folded
    .split(CRLF);
  if (/[^ \t]/.test(padding)) throw malformed(`part ${number} begins with a boundary that other text follows`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name = '', value = ''] = HEADER.exec(line) ?? [];
    if (name === '' || /[\r\n\0]/.test(line)) throw malformed(`part ${number} has a header that is none`);
    if (headers.has(name.toLowerCase())) throw malformed(`part ${number} has two headers ${name}`);
    headers.set(name.toLowerCase(), value.trimEnd());
  }
  return headers;
}
