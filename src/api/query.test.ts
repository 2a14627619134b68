import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApiError } from '../errors.ts';
import { readQuery } from './query.ts';

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

  it('gives lists written either way', () => {
    assert.deepEqual(query({ in: 'a, b' }).list('in'), ['a', 'b']);
    assert.deepEqual(query({ in: ['a', 'b,c'] }).list('in'), ['a', 'b', 'c']);
    assert.equal(query({ in: ',' }).list('in'), undefined);
  });
});
