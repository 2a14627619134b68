import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApiError } from '../errors.ts';
import { boolean, integer, list, oneOf, type Parameter, readOwnQuery, readQuery, second, text } from './query.ts';

/** What one parameter makes of a query. */
const read = <T>(parameter: Parameter<T>, value?: unknown): T =>
  readQuery({ query: value === undefined ? undefined : { it: value } }, { it: parameter }).it;
const refusal = (message: RegExp) => (error: unknown) =>
  error instanceof ApiError && error.status === 400 && message.test(error.message);

describe('a query string', () => {
  it('gives text, the first of several, and nothing for an empty one', () => {
    assert.equal(read(text('a text'), 'x'), 'x');
    assert.equal(read(text('a text'), ['y', 'z']), 'y');
    assert.equal(read(text('a text'), ''), undefined);
    assert.equal(read(text('a text')), undefined);
  });

  it('gives whole numbers within a range', () => {
    const limit = integer({ min: 1, max: 200 }, 'a limit');
    assert.equal(read(limit, '200'), 200);
    assert.equal(read(limit), undefined);
    assert.equal(read(integer({ min: 1, max: 200, fallback: 50 }, 'a limit')), 50);
    for (const wrong of ['0', '201', '1.5', '1e2', '0x10', ' 1', 'ten', '9'.repeat(30)]) {
      assert.throws(() => read(limit, wrong), refusal(/^it must be a whole number from 1 to 200$/), wrong);
    }
  });

  it('gives booleans in any case: the Python SDK writes True', () => {
    assert.equal(read(boolean('a choice'), 'True'), true);
    assert.equal(read(boolean('a choice'), 'false'), false);
    assert.throws(() => read(boolean('a choice'), '1'), refusal(/^it must be true or false$/));
  });

  it('gives one of the allowed words', () => {
    const order = oneOf(['asc', 'desc'], { fallback: 'desc', description: 'an order' });
    assert.equal(read(order, 'asc'), 'asc');
    assert.equal(read(order), 'desc');
    assert.equal(read(oneOf(['asc', 'desc'], { description: 'an order' })), undefined);
    assert.throws(() => read(order, 'up'), refusal(/^it must be one of asc, desc$/));
  });

  it('gives no NUL, which the database cannot hold', () => {
    assert.throws(() => read(text('a text'), 'a\0'), refusal(/^it must not contain a NUL character$/));
    assert.throws(() => read(list('a list'), ['a', '\0']), refusal(/^it must not contain a NUL character$/));
  });

  it('gives Unix seconds, and says so of anything else', () => {
    assert.equal(read(second('a time'), '1795334400'), 1_795_334_400);
    assert.equal(read(second('a time')), undefined);
    for (const wrong of ['1795334400000', '-1', '1.5', '2026-11-22']) {
      assert.throws(() => read(second('a time'), wrong), refusal(/^it must be a time in Unix seconds, such as/));
    }
  });

  it('of a route of ours has no parameter that it does not know, and none that is empty', () => {
    const known = { state: text('a state'), in: list('some') };
    const own = (values: Record<string, unknown>) => readOwnQuery({ query: values }, known);
    assert.equal(own({ state: 'held' }).state, 'held');
    assert.deepEqual(own({ in: 'a,b' }).in, ['a', 'b']);
    assert.deepEqual(readOwnQuery({ query: undefined }, {}), {});
    assert.throws(() => own({ stat: 'held' }), refusal(/^stat is not a known parameter: those are state, in$/));
    assert.throws(
      () => readOwnQuery({ query: { foo: '' } }, {}),
      refusal(/^foo is not a known parameter: there are none here$/),
    );
    assert.throws(() => own({ ['x'.repeat(1e4)]: '1' }), refusal(/^x{200} is not a known/));
    for (const empty of ['', ' ', ',', ['a', '']]) {
      assert.throws(() => own({ in: empty }), refusal(/^in must not be empty$/), JSON.stringify(empty));
    }
  });

  it('gives lists written either way', () => {
    assert.deepEqual(read(list('a list'), 'a, b'), ['a', 'b']);
    assert.deepEqual(read(list('a list'), ['a', 'b,c']), ['a', 'b', 'c']);
    assert.equal(read(list('a list'), ','), undefined);
  });
});
