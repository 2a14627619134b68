// What commonly happens to a body or to a secret before a signature is looked at, so that it can be tried out.
import { gunzipSync, gzipSync } from 'node:zlib';
import { TEST_SECRET } from '../notify/sign.ts';

export interface Alteration<T> {
  readonly value: T;
  /** What was done to it on the way, one clause; '' for nothing. */
  readonly done: string;
}

const LARGEST = 64 * 1024 * 1024; // of what is decompressed

/** What may have been sent where `body` was captured, the likely first. */
export function possibleBodies(body: Buffer, uncut: Buffer): readonly Alteration<Buffer>[] {
  const found: Alteration<Buffer>[] = [{ value: body, done: '' }];
  if (uncut.length !== body.length) found.push({ value: uncut, done: 'Content-Length does not fit the body' });
  const plain = isGzip(uncut) ? [] : possibleTexts(uncut);
  found.push(...plain);
  if (isGzip(body)) {
    const inside = unpacked(body);
    if (inside !== null) {
      found.push({ value: inside, done: 'the body was compressed after it had been signed' });
      found.push({ value: gzipSync(inside), done: 'the body was decompressed and compressed anew' });
    }
    return found;
  }
  for (const { value, done } of [{ value: uncut, done: '' }, ...plain]) {
    const first = 'the body was decompressed, and the signature is over the compressed bytes';
    found.push({ value: gzipSync(value), done: done === '' ? first : `${first}; ${done}` });
  }
  return found;
}

/** The secret as it was probably meant; none of the values may be shown. */
export function possibleSecrets(secret: string): readonly Alteration<string>[] {
  const trimmed = secret.trim();
  const bare = trimmed.replace(/^(["'])(.*)\1$/, '$2').trim();
  return [
    { value: secret, done: '' },
    { value: trimmed, done: 'the secret has white space around it' },
    { value: bare, done: 'the secret stands in quotes' },
    { value: `whsec_${bare}`, done: 'the secret lacks its whsec_' },
    { value: TEST_SECRET, done: `it is a test event: those are signed with ${TEST_SECRET}` },
  ];
}

export function isGzip(body: Buffer): boolean {
  return body[0] === 0x1f && body[1] === 0x8b;
}

/** A gzip body that a program took for UTF-8: 8b is no character, so it cannot be undone. */
export function isBrokenGzip(body: Buffer): boolean {
  return body.subarray(0, 4).equals(Buffer.from([0x1f, 0xef, 0xbf, 0xbd]));
}

function possibleTexts(body: Buffer): readonly Alteration<Buffer>[] {
  const text = body.toString('utf8');
  const trimmed = text.trim(); // the byte order mark too
  const texts: (readonly [text: string, done: string])[] = [
    [trimmed, 'white space was put around the body (an editor does that to a saved capture, too)'],
    [`${text}\n`, 'the newline at the end of the body was taken off'],
    [`${text}\r\n`, 'the newline at the end of the body was taken off'],
  ];
  const json = writtenAnew(trimmed);
  if (json !== null) texts.push([json, 'the body was parsed and written anew as JSON']);
  return [
    ...texts.map(([one, done]) => ({ value: Buffer.from(one), done })),
    { value: Buffer.from(text, 'latin1'), done: 'the body was read as Latin-1 and written as UTF-8' },
  ].filter(({ value }) => !value.equals(body));
}

/** Null for what is no JSON, and for what is nested too deeply to be written. */
function writtenAnew(text: string): string | null {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return null;
  }
}

function unpacked(body: Buffer): Buffer | null {
  try {
    return gunzipSync(body, { maxOutputLength: LARGEST });
  } catch {
    return null;
  }
}
