import assert from 'node:assert/strict';
import { NylasApiError } from 'nylas';

/**
 * What the Node SDK throws for a refusal: its own class with everything filled in, and the request id of the header.
 * Anything else, such as "could not parse response", fails the test.
 */
export async function sdkError(work: Promise<unknown>): Promise<NylasApiError> {
  const error: unknown = await work.then(
    () => assert.fail('the SDK saw a success'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof NylasApiError, `the SDK threw ${error}`);
  assert.match(error.requestId ?? '', /^[0-9a-f-]{36}$/);
  assert.equal(Reflect.get(Object(error.headers), 'x-request-id'), error.requestId);
  return error;
}
