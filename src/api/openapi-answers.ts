// The answers of a route as the OpenAPI document tells them: its successes, and every refusal that it can give.
import type { Operation } from './operation.ts';
import { ErrorAnswer } from './schemas/envelopes.ts';

const MEANINGS: Readonly<Record<number, string>> = {
  400: 'The request is wrong; the message names the field and the rule.',
  401: 'The API key is missing or unknown, or the grant has expired.',
  402: 'Every recipient was refused, or the mail itself was.',
  403: 'The mail provider refused the credentials, or the application may not do this.',
  404: 'What the path names, or what the body refers to, is not there.',
  409: 'Something else is being done with it at this moment, or its key was used for another request.',
  413: 'The request body is too large.',
  415: 'The Content-Type of the request is none that is taken here.',
  422: 'The mail provider answered with a lasting error.',
  429: 'Too many requests, here or at the mail provider.',
  500: 'Something went wrong here.',
  503: 'The database or the mail provider cannot be reached, or the service is starting or stopping.',
  504: 'The mail provider did not answer in time.',
};

/** Every route can answer with these. */
const ALWAYS = [400, 401, 429, 500, 503];
/** And those that read a body with these. */
const OF_BODIES = [413, 415];
const WITH_RETRY_AFTER = new Set([409, 429, 503]);

/** `#/components/headers` */
export const SHARED_HEADERS = {
  RequestId: { description: 'The request_id of the body.', schema: { type: 'string', format: 'uuid' } },
  RetryAfter: { description: 'Seconds to wait before another try.', schema: { type: 'integer', minimum: 0 } },
  IdempotentResponse: {
    description: 'true: the answer of an earlier request with the same Idempotency-Key.',
    schema: { type: 'string', const: 'true' },
  },
};

const REQUEST_ID = { 'x-request-id': { $ref: '#/components/headers/RequestId' } };
const RETRY_AFTER = { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } };
const REPLAYED = { 'Idempotent-Response': { $ref: '#/components/headers/IdempotentResponse' } };

/** `#/components/responses` */
export const SHARED_REFUSALS = Object.fromEntries(
  Object.entries(MEANINGS).map(([status, description]) => [
    `Refusal${status}`,
    {
      description,
      headers: { ...REQUEST_ID, ...(WITH_RETRY_AFTER.has(Number(status)) && RETRY_AFTER) },
      content: { 'application/json': { schema: ErrorAnswer } },
    },
  ]),
);

/** By status. */
export function answersOf(route: {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}): Readonly<Record<string, object>> {
  const { answers, headers } = route.operation;
  const isRepeatable = headers !== undefined && Object.hasOwn(headers, 'Idempotency-Key');
  const successes = Object.entries(answers).map(([status, schema]) => [
    status,
    {
      description: SUCCESSES[status] ?? 'Done.',
      headers: { ...REQUEST_ID, ...(isRepeatable && REPLAYED) },
      content: { 'application/json': { schema } },
    },
  ]);
  const refusals = refusalsOf(route).map((status) => [status, { $ref: `#/components/responses/Refusal${status}` }]);
  return Object.fromEntries([...successes, ...refusals]);
}

const SUCCESSES: Readonly<Record<string, string>> = { 200: 'Done.', 201: 'Made.', 202: 'Taken on.' };

function refusalsOf({ method, path, operation }: Parameters<typeof answersOf>[0]): readonly number[] {
  const all = [
    ...ALWAYS,
    ...(path.includes('{') ? [404] : []),
    ...(method === 'get' ? [] : OF_BODIES),
    ...(operation.refusals ?? []),
  ];
  return [...new Set(all)].sort((a, b) => a - b);
}
