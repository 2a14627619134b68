import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApiError } from '../errors.ts';
import { checkBounds, parseJson, withoutNulls } from './body-bounds.ts';

function refusal(body: unknown, nulAllowedIn?: readonly string[]): string | null {
  try {
    checkBounds(body, nulAllowedIn);
    return null;
  } catch (error) {
    assert.ok(error instanceof ApiError && error.status === 400);
    return error.message;
  }
}

/** `value` inside so many lists. */
function inLists(levels: number, value: unknown): unknown {
  return levels === 0 ? value : [inLists(levels - 1, value)];
}

describe('a JSON body', () => {
  const read = (text: string): unknown => parseJson(Buffer.from(text));

  it('has a mark where half an emoji was left', () => {
    assert.deepEqual(read('{"a": ["x\\ud83dy", "\\uDE00"], "b": "\\ud83d\\ude00"}'), {
      a: ['x\uFFFDy', '\uFFFD'],
      b: '😀',
    });
    assert.deepEqual(read('"\\\\ud800"'), '\\ud800');
  });

  it('may be nothing, and must be UTF-8', () => {
    assert.equal(parseJson(Buffer.alloc(0)), undefined);
    assert.throws(() => parseJson(Buffer.from([0x22, 0xff, 0x22])), /it is not UTF-8/);
  });
});

describe('the bounds of a body', () => {
  it('hold 1,000 items in a list, wherever it is', () => {
    assert.equal(refusal({ to: Array(1000).fill(1) }), null);
    assert.equal(refusal({ to: Array(1001).fill(1) }), 'to must have at most 1000 items');
    assert.equal(refusal(Array(1001).fill(1)), 'the request body must have at most 1000 items');
    assert.equal(refusal({ a: [{ 'b/c': Array(1001) }] }), 'a[0].b/c must have at most 1000 items');
  });

  it('hold 32 levels', () => {
    assert.equal(refusal(inLists(32, 'x')), null);
    assert.equal(refusal({ a: inLists(31, 'x') }), null);
    assert.match(refusal({ a: inLists(32, 'x') }) ?? '', /^a(\[0\]){31} must not be nested deeper than 32 levels$/);
    const deep: unknown = JSON.parse(`${'['.repeat(1e6)}${']'.repeat(1e6)}`);
    assert.match(refusal(deep) ?? '', /nested deeper than 32 levels$/);
  });

  it('hold the largest mail, and not ten times its values', () => {
    const people = Array(1000).fill({ email: 'a', name: 'b' });
    const attachments = Array(1000).fill({
      filename: '',
      content_type: '',
      content: '',
      content_id: '',
      is_inline: true,
    });
    const custom_headers = Array(1000).fill({ name: 'a', value: 'b' });
    const mail = { to: people, cc: people, bcc: people, reply_to: people, from: people, attachments, custom_headers };
    assert.equal(refusal(mail), null);
    const members = Object.fromEntries(Array.from({ length: 30_000 }, (_, index) => [`k${index}`, 1]));
    assert.equal(refusal({ metadata: members }), 'the request body must have at most 30000 values');
    const lists = Array(100).fill(Array(1000).fill(1));
    assert.equal(refusal({ lists }), 'the request body must have at most 30000 values');
  });

  it('hold no NUL, in values and names, but where a rule of its own waits for it', () => {
    assert.equal(refusal({ subject: 'a\0' }), 'subject must not contain a NUL character');
    assert.equal(refusal('\0'), 'the request body must not contain a NUL character');
    assert.equal(refusal({ scope: ['a', '\0'] }), 'scope[1] must not contain a NUL character');
    assert.equal(refusal({ a: { 'b\0': 1 } }), 'a.b\uFFFD must not contain a NUL character');
    assert.equal(refusal({ metadata: { 'b\0': 1, c: '\0' } }, ['metadata']), null);
    assert.equal(refusal({ label: '\0' }, ['metadata']), 'label must not contain a NUL character');
    assert.equal(refusal({ a: { metadata: '\0' } }, ['metadata']), 'a.metadata must not contain a NUL character');
  });

  it('leave out what would become a prototype', () => {
    assert.match(refusal(JSON.parse('{"a": [{"__proto__": 1}]}')) ?? '', /__proto__/);
    assert.equal(refusal({ constructor: 1 }), null);
  });
});

describe('what is null', () => {
  it('counts as not given, as deep as anything is read', () => {
    assert.deepEqual(withoutNulls({ subject: null, to: [{ name: null, email: 'a' }], branding: { icon_url: null } }), {
      to: [{ email: 'a' }],
      branding: {},
    });
    assert.deepEqual(withoutNulls({ tracking_settings: null, metadata: null }), {});
  });

  it('stays where it is a value, or a mistake', () => {
    for (const body of [
      { tracking_settings: { notify_classes: null } },
      { metadata: { a: null } },
      { to: [null] },
      [null],
      null,
    ]) {
      assert.deepEqual(withoutNulls(body), body);
    }
  });
});
