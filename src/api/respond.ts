// The v3 envelopes (contract 7.1) and the one table from what went wrong to status and body.
import { isConnectionLost } from '../db/pool.ts';
import { ApiError } from '../errors.ts';

/** Exactly so: the Ruby SDK parses a body only under this very value (contract 7.5). */
export const JSON_TYPE = 'application/json';
export const BODY_LIMIT = 3 * 1024 * 1024;
/** The SDKs send up to 3 MB of attachments as JSON, which base64 makes 4 MB, and the body besides. */
export const SEND_BODY_LIMIT = 6 * 1024 * 1024;
/** The files and the JSON part of multipart/form-data together. */
export const FORM_LIMIT = 25 * 1024 * 1024;

const RETRY_AFTER_SECONDS = 5;

export interface Identified {
  /** The request id: a UUID, also sent as x-request-id. */
  readonly id: string;
}

export interface Answer<T> {
  readonly request_id: string;
  readonly data: T;
}

/** The envelope of a success; `extra` adds top-level members such as `next_cursor`. */
export function answer<T>(request: Identified, data: T, extra: object = {}): Answer<T> {
  return { request_id: request.id, data, ...extra };
}

/** The whole answer of a deletion. */
export function done(request: Identified): { readonly request_id: string } {
  return { request_id: request.id };
}

/** 404 for what a path names and the grant has not. */
export function unknownIn(parameter: string, what: string, name: string): ApiError {
  const shown = name.length > LONGEST_SHOWN ? `${name.slice(0, LONGEST_SHOWN)}…` : name;
  return new ApiError(404, 'api.not_found_error', `${parameter}: no ${what} "${shown}" was found in this grant.`);
}

const LONGEST_SHOWN = 100;

export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly type: string;
  readonly message: string;
  readonly providerError?: Readonly<Record<string, unknown>>;
}

/** What the caller is told of an error. Of the unforeseen (500) nothing but that it happened. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof ApiError) {
    const { status, type, message, providerError } = error;
    const retryAfter = providerError?.retry_after;
    const headers: Record<string, string> = {
      ...(status === 401 && { 'www-authenticate': 'Bearer' }),
      ...(typeof retryAfter === 'number' && { 'retry-after': String(retryAfter) }),
    };
    return { status, headers, type, message, ...(providerError === undefined ? {} : { providerError }) };
  }
  // A body cut off by the caller also ends in ECONNRESET; Fastify marks it as the caller's doing.
  if (isConnectionLost(error) && !Object.hasOwn(Object(error), 'statusCode')) {
    return {
      status: 503,
      headers: { 'retry-after': String(RETRY_AFTER_SECONDS) },
      type: 'api.internal_error',
      message: 'The database cannot be reached right now; try again in a moment.',
    };
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const framework = typeof code === 'string' ? FRAMEWORK[code] : undefined;
  if (framework) return { headers: {}, ...framework };
  return { status: 500, headers: {}, type: 'api.internal_error', message: 'Internal error, contact administrator.' };
}

/** The body of a refusal; `provider_error` only as an object (contract 7.5). */
export function errorBody(request: Identified, refusal: Refusal): object {
  const { type, message, providerError } = refusal;
  return {
    request_id: request.id,
    error: { type, message, ...(providerError === undefined ? {} : { provider_error: providerError }) },
  };
}

type Told = Omit<Refusal, 'headers' | 'providerError'>;

const BAD_REQUEST = { status: 400, type: 'api.invalid_request_error' } as const;

/** Fastify's own errors that a caller can cause. */
const FRAMEWORK: Readonly<Record<string, Told>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    status: 413,
    type: 'api.invalid_request_error',
    message:
      'The request body is too large: JSON bodies may have 3 MB, those of a send and a draft 6 MB. Larger attachments go as multipart/form-data, up to 25 MB.',
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    status: 415,
    type: 'api.invalid_request_error',
    message:
      'Unsupported Content-Type: send application/json, or multipart/form-data where a mail or a draft is taken.',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    ...BAD_REQUEST,
    message: 'The request body is not as long as its Content-Length says.',
  },
  FST_ERR_BAD_URL: { ...BAD_REQUEST, message: 'The path is not validly percent-encoded.' },
  FST_ERR_MAX_PARAM_LENGTH: { status: 404, type: 'api.not_found_error', message: 'Resource not found.' },
  ECONNRESET: { ...BAD_REQUEST, message: 'The request was cut off.' },
};
