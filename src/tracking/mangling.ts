const LONGEST = 8192;

/**
 * A request target as it probably looked before mail gateways handled it: percent-escapes undone (twice: some
 * re-encode the escapes), an absolute form and doubled slashes reduced, line breaks of quoted-printable and spaces
 * taken out. Cutting off what was added at the end is the token reader's business.
 */
export function unmangled(path: string): string {
  if (path.length > LONGEST) return path;
  const plain = unescaped(unescaped(path))
    .replace(/=?\r?\n|=\r|[\s<>]/g, '')
    .replace(/^https?:\/\/[^/]*/i, '')
    .replace(/^\/{2,}/, '/')
    .replace(/^(\/[co])\/{2,}/, '$1/');
  // A slash may be doubled between token and destination as well.
  return plain.replace(/^(\/c\/[^/]*)\/{2,}/, '$1/');
}

function unescaped(text: string): string {
  return text.replace(/%([2-7][0-9a-f]|0[9ad])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
