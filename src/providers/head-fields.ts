// The fields of a header block, as RFC 5322 lays them out and as strangers write them.
import { inNoCharset } from '../charset.ts';

/** Its name in lower case, its value unfolded: without line ends and NUL, well-formed, not decoded further. */
export type HeadField = readonly [name: string, value: string];

const NAME = /^[!-9;-~]+$/; // RFC 5322 section 2.2
const LONGEST_NAME = 100;

/**
 * In their order, up to the first empty line. Lines that are no field are passed over. In time linear in the block, whose
 * end may be anywhere, also within a character.
 */
export function* headFields(block: Buffer): Generator<HeadField> {
  let name = '';
  let value: Buffer[] = [];
  for (const line of lines(block)) {
    if (line[0] === SPACE || line[0] === TAB) {
      if (name !== '') value.push(line);
      continue;
    }
    if (name !== '') yield [name, textOf(value)];
    const colon = line.subarray(0, LONGEST_NAME + 1).indexOf(COLON);
    // Some write a space before the colon, RFC 5322 section 4.5.
    name = line
      .toString('latin1', 0, Math.max(0, colon))
      .replace(/[ \t]+$/, '')
      .toLowerCase();
    if (!NAME.test(name)) name = '';
    value = [line.subarray(colon + 1)];
  }
  if (name !== '') yield [name, textOf(value)];
}

const [SPACE, TAB, COLON, LF, CR] = [0x20, 0x09, 0x3a, 0x0a, 0x0d];

function* lines(block: Buffer): Generator<Buffer> {
  for (let start = 0; start < block.length; ) {
    const found = block.indexOf(LF, start);
    const end = found < 0 ? block.length : found;
    const line = block.subarray(start, end > start && block[end - 1] === CR ? end - 1 : end);
    if (line.length === 0) return;
    yield line;
    start = end + 1;
  }
}

function textOf(parts: readonly Buffer[]): string {
  const [only] = parts;
  const bytes = parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
  return inNoCharset(bytes)
    .replace(/[\0\r\n]+/g, ' ')
    .trim();
}
