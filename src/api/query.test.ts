import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApiError } from '../errors.ts';
import { readOwnQuery, readQuery } from './query.ts';

const query = (values: Record<string, unknown>): ReturnType<typeof readQuery> => readQuery({ query: values });
const refusal = (message: RegExp) => (error: unknown) =>
  error instanceof ApiError && error.status === 400 && message.test(error.message);

describe('a query string', () => {
  it('gives text, the first of several, and nothing for an empty one', () => {
    const read = query({ a: 'x', b: ['y', 'z'], c: '' });
    assert.equal(read.text('a'), 'x');
    assert.equal(read.text('b'), 'y');
    assert.equal(read.text('c'), undefined);
    assert.equal(read.text('d'), undefined);
    assert.equal(readQuery({ query: undefined }).text('a'), undefined);
  });

  it('gives whole numbers within a range', () => {
    const range = { min: 1, max: 200 };
    assert.equal(query({ limit: '200' }).integer('limit', range), 200);
    assert.equal(query({}).integer('limit', range), undefined);
    for (const limit of ['0', '201', '1.5', '1e2', '0x10', ' 1', 'ten', '9'.repeat(30)]) {
      assert.throws(
        () => query({ limit }).integer('limit', range),
        refusal(/^limit must be a whole number from 1 to 200$/),
        limit,
      );
    }
  });

  it('gives booleans in any case: the Python SDK writes True', () => {
    assert.equal(query({ unread: 'True' }).boolean('unread'), true);
    assert.equal(query({ unread: 'false' }).boolean('unread'), false);
    assert.throws(() => query({ unread: '1' }).boolean('unread'), refusal(/^unread must be true or false$/));
  });

  it('gives one of the allowed words', () => {
    assert.equal(query({ order_by: 'asc' }).oneOf('order_by', ['asc', 'desc']), 'asc');
    assert.throws(
      () => query({ order_by: 'up' }).oneOf('order_by', ['asc', 'desc']),
      refusal(/^order_by must be one of asc, desc$/),
    );
  });

  it('gives no NUL, which the database cannot hold', () => {
    const read = query({ email: 'a\0', in: ['a', '\0'] });
    assert.throws(() => read.text('email'), refusal(/^email must not contain a NUL character$/));
    assert.throws(() => read.list('in'), refusal(/^in must not contain a NUL character$/));
  });

  it('gives Unix seconds, and says so of anything else', () => {
    assert.equal(query({ since: '1795334400' }).second('since'), 1_795_334_400);
    assert.equal(query({}).second('since'), undefined);
    for (const since of ['1795334400000', '-1', '1.5', '2026-11-22']) {
      assert.throws(() => query({ since }).second('since'), refusal(/^since must be a time in Unix seconds, such as/));
    }
  });

  it('of a route of ours has no parameter that it does not know, and none that is empty', () => {
    const own = (values: Record<string, unknown>, known = ['state', 'in']) => readOwnQuery({ query: values }, known);
    assert.equal(own({ state: 'held' }).text('state'), 'held');
    assert.deepEqual(own({ in: 'a,b' }).list('in'), ['a', 'b']);
    assert.equal(readOwnQuery({ query: undefined }, []).text('state'), undefined);
    assert.throws(() => own({ stat: 'held' }), refusal(/^stat is not a known parameter: those are state, in$/));
    assert.throws(() => own({ foo: '' }, []), refusal(/^foo is not a known parameter: there are none here$/));
    assert.throws(() => own({ ['x'.repeat(1e4)]: '1' }), refusal(/^x{200} is not a known/));
    for (const empty of ['', ' ', ',', ['a', '']]) {
      assert.throws(() => own({ in: empty }), refusal(/^in must not be empty$/), JSON.stringify(empty));
    }
  });

  it('gives lists written either way', () => {
    assert.deepEqual(query({ in: 'a, b' }).list('in'), ['a', 'b']);
    assert.deepEqual(query({ in: ['a', 'b,c'] }).list('in'), ['a', 'b', 'c']);
    assert.equal(query({ in: ',' }).list('in'), undefined);
  });
});
