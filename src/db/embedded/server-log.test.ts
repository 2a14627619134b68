import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLine } from './server-log.ts';

test('what threatens the data is an error, what limits it a warning', () => {
  assert.equal(
    parseLine('checkpointer|58030|PANIC:  could not fsync file "base/1": Input/output error').level,
    'error',
  );
  assert.equal(parseLine('autovacuum worker|XX001|ERROR:  invalid page in block 7').level, 'warn');
  assert.equal(parseLine('client backend|53100|ERROR:  could not extend file: No space left on device').level, 'warn');
  assert.equal(parseLine('client backend|53300|FATAL:  sorry, too many clients already').level, 'error');
  assert.equal(parseLine('postmaster|00000|LOG:  client backend (PID 9) was terminated by signal 9').level, 'warn');
});

test('everyday lines are dropped', () => {
  assert.equal(parseLine('postmaster|00000|LOG:  database system is ready to accept connections').level, 'none');
  assert.equal(parseLine('client backend|57P03|FATAL:  the database system is starting up').level, 'none');
});

test('errors of a statement are told to its client alone: they can hold addresses', () => {
  const line = 'client backend|22P02|ERROR:  invalid input syntax for type uuid: "ada@example.com"';
  assert.equal(parseLine(line).level, 'none');
});

test('fields are taken apart, and lines in no known form are kept', () => {
  assert.deepEqual(parseLine('startup|42501|FATAL:  a|b:  c'), {
    level: 'error',
    fields: { process: 'startup', state: '42501', severity: 'FATAL', message: 'a|b:  c' },
  });
  assert.deepEqual(parseLine('postgres: error while loading shared libraries'), {
    level: 'warn',
    fields: { message: 'postgres: error while loading shared libraries' },
  });
});
