import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { it } from 'node:test';
import type { Attachment } from './compose.ts';
import { requestHash } from './request-hash.ts';

const file = (change: Partial<Attachment> = {}): Attachment => ({
  filename: 'a.txt',
  contentType: 'text/plain',
  content: Buffer.from('bytes'),
  isInline: false,
  ...change,
});
const hash = (request: unknown, files?: readonly Attachment[]): string => requestHash(request, files).toString('hex');

it('does not know the order of members, nor members that are undefined', () => {
  assert.equal(hash({ a: 1, b: { c: [1], d: null } }), hash({ b: { d: null, c: [1], e: undefined }, a: 1 }));
});

it('tells everything else apart', () => {
  const requests: unknown[] = [
    {},
    [],
    null,
    '',
    { a: 1 },
    { a: '1' },
    { a: [1, 2] },
    { a: [2, 1] },
    { a: [[1], 2] },
    { a: [[1, 2]] },
    { a: { 0: 1, 1: 2 } },
    { 'a":1,"b': 2 },
    { a: 1, b: 2 },
    { a: '\ud800' },
    { a: '\ufffd' },
    { __proto__: null, a: {} },
    JSON.parse('{"__proto__": {}}'),
  ];
  assert.equal(new Set(requests.map((request) => hash(request))).size, requests.length);
});

it('knows a file by its name, type, place and bytes, wherever they lie', () => {
  const digest = createHash('sha256').update('bytes').digest('hex');
  const blob = { id: '01890000-0000-7000-8000-000000000000', size: 5, hash: digest };
  assert.equal(hash({}, [file()]), hash({}, [file({ content: blob })]));
  const lists = [
    [],
    [file()],
    [file(), file()],
    [file({ filename: 'b.txt' })],
    [file({ contentType: 'text/html' })],
    [file({ content: Buffer.from('other') })],
    [file({ contentId: 'x', isInline: true })],
    [file(), file({ filename: 'b.txt' })],
    [file({ filename: 'b.txt' }), file()],
  ];
  assert.equal(new Set(lists.map((files) => hash({}, files))).size, lists.length);
});
