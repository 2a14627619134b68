// An HTTP request as it was written to a file: request line or not, headers, an empty line, the body byte for byte.

export interface Captured {
  /** By lower-case name; one that stands twice is joined by a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** What was sent: the chunks put together, no more than Content-Length. */
  readonly body: Buffer;
  /** Everything that stands behind the empty line. */
  readonly uncut: Buffer;
  /** What is odd about it, one sentence each. */
  readonly notes: readonly string[];
}

const LF = 0x0a;
const LARGEST_HEAD = 256 * 1024; // servers take 8 to 64 kB
const REQUEST_LINE = /^[A-Z]+ \S+( HTTP\/\d(\.\d)?)?$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,8})[ \t]*(;.*)?$/;

/** Reads CRLF and LF alike. A text is why it is no such thing, one sentence. */
export function parseCaptured(bytes: Buffer): Captured | string {
  const headers = new Map<string, string>();
  let last = '';
  let at = 0;
  for (let number = 1; ; number++) {
    const line = lineAt(bytes, at);
    if (line === null) return finish(headers, Buffer.alloc(0), ['There is no empty line, so no body.']);
    at = line.next;
    if (at > LARGEST_HEAD)
      return `There is no empty line in the first ${LARGEST_HEAD / 1024} kB, so these are no headers.`;
    if (line.text === '') return finish(headers, bytes.subarray(at), []);
    if (number === 1 && REQUEST_LINE.test(line.text)) continue;
    if (line.text.startsWith(':')) continue; // how HTTP/2 is shown
    const [, name, rest = ''] = HEADER_LINE.exec(line.text) ?? [];
    if (name !== undefined) {
      const value = rest.trim();
      last = name.toLowerCase();
      const before = headers.get(last);
      headers.set(last, before === undefined ? value : `${before}, ${value}`);
    } else if (/^[ \t]/.test(line.text) && last !== '') {
      headers.set(last, `${headers.get(last)} ${line.text.trim()}`); // RFC 9112 section 5.2
    } else {
      return `Line ${number} is no header. Expected are header lines, an empty line and the body; for a body alone give its signatures as options.`;
    }
  }
}

function lineAt(bytes: Buffer, at: number): { readonly text: string; readonly next: number } | null {
  const end = bytes.indexOf(LF, at);
  if (end < 0) return null;
  return { text: bytes.toString('latin1', at, end).replace(/\r$/, ''), next: end + 1 };
}

function finish(headers: ReadonlyMap<string, string>, uncut: Buffer, notes: readonly string[]): Captured {
  if (/\bchunked$/i.test(headers.get('transfer-encoding') ?? '')) {
    const body = joinChunks(uncut);
    if (body !== null) return { headers, body, uncut, notes };
    const note = 'It says Transfer-Encoding: chunked, but there are no whole chunks: the body is taken as it stands.';
    return { headers, body: uncut, uncut, notes: [...notes, note] };
  }
  const length = headers.get('content-length') ?? '';
  if (!/^\d+$/.test(length) || Number(length) === uncut.length) return { headers, body: uncut, uncut, notes };
  const note = `Content-Length says ${length} bytes, but ${uncut.length} are there.`;
  return { headers, body: uncut.subarray(0, Number(length)), uncut, notes: [...notes, note] };
}

/** Null where the chunks are not whole. What follows the last one is dropped. */
function joinChunks(bytes: Buffer): Buffer | null {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = lineAt(bytes, at);
    const size = Number.parseInt(CHUNK_LINE.exec(line?.text ?? '')?.[1] ?? '', 16);
    if (line === null || Number.isNaN(size) || line.next + size > bytes.length) return null;
    if (size === 0) return Buffer.concat(chunks);
    chunks.push(bytes.subarray(line.next, line.next + size));
    const end = lineAt(bytes, line.next + size);
    if (end === null || end.text !== '') return null;
    at = end.next;
  }
}
