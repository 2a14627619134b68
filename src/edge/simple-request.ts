import type { TrackedRequest } from './answer.ts';

const LONGEST = 4096;

/** One whole GET of HTTP/1.1 below /o/ or /c/: no body, no folded lines, no stray control characters, nothing after it. */
const WHOLE = /^GET (\/[oc]\/[\x21-\x7e]+) HTTP\/1\.1\r\n((?:[!#$%&'*+.^`|~\w-]+:[\t\x20-\x7e\x80-\xff]*\r\n)+)\r\n$/;

/**
 * Reads a chunk that is exactly one such request. Null for everything else, be it merely unusual: a part of a request,
 * another method, version or header with a meaning for the connection. node:http decides about those.
 */
export function readSimpleRequest(chunk: Buffer, peer: string): TrackedRequest | null {
  if (chunk.length > LONGEST || chunk[0] !== 0x47 || chunk[chunk.length - 1] !== 0x0a) return null;
  const [, target, lines] = WHOLE.exec(chunk.toString('latin1')) ?? [];
  if (target === undefined || lines === undefined) return null;
  const rawHeaders: string[] = [];
  let hosts = 0;
  for (let at = 0; at < lines.length; ) {
    const colon = lines.indexOf(':', at);
    const end = lines.indexOf('\r\n', colon);
    const name = lines.slice(at, colon);
    const value = lines.slice(colon + 1, end).trim();
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
    else if (concernsConnection(name, value)) return null;
    rawHeaders.push(name, value);
    at = end + 2;
  }
  return hosts === 1 ? { method: 'GET', target, rawHeaders, peer } : null;
}

function concernsConnection(name: string, value: string): boolean {
  switch (name.length) {
    case 2:
    case 6:
    case 7:
    case 14:
    case 16:
    case 17:
      return UNUSUAL.has(name.toLowerCase());
    case 10:
      return value.toLowerCase() !== 'keep-alive' && UNUSUAL.has(name.toLowerCase());
    default:
      return false;
  }
}

const UNUSUAL = new Set([
  'te',
  'expect',
  'upgrade',
  'trailer',
  'connection',
  'keep-alive',
  'content-length',
  'proxy-connection',
  'transfer-encoding',
]);
