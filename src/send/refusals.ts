import { ApiError, invalid } from '../errors.ts';
import type { SendOutcome } from '../providers/provider.ts';
import type { SendFailure } from '../tracking/send-facts.ts';

/** D5 */
export function sandboxRefusal(): ApiError {
  return new ApiError(403, 'api.tracking_error', 'Tracking options are not allowed for trial accounts');
}

/** D6: which sentence is told depends on what is tracked. */
export function tooLargeRefusal(
  tracking: { readonly opens: boolean; readonly threadReplies: boolean },
  field: string,
  rule: string,
): ApiError {
  const kind = tracking.opens ? 'open' : tracking.threadReplies ? 'reply' : null;
  if (kind === null) return invalid(field, rule);
  const sentence = `The message has not been sent. Please try resending with ${kind} tracking disabled.`;
  return new ApiError(400, 'api.tracking_error', sentence);
}

export function tooManyLinksRefusal(sentence: string): ApiError {
  return new ApiError(400, 'api.tracking_error', sentence);
}

/** D27 */
export function unknownParentRefusal(reference: string): ApiError {
  const shown = reference.length > 100 ? `${reference.slice(0, 100)}…` : reference;
  return new ApiError(
    404,
    'api.not_found_error',
    `reply_to_message_id: no message "${shown}" was found in this grant.`,
  );
}

/** The message whose id this try was given is being sent, or was. */
export function takenRefusal(): ApiError {
  return new ApiError(
    409,
    'api.concurrent_idempotent_request',
    'This message is being sent by another request, or was sent by one.',
  );
}

export function unsupportedProviderRefusal(provider: string): ApiError {
  return new ApiError(400, 'api.invalid_request_error', `Sending through ${provider} grants is not supported yet.`);
}

type Failure = Exclude<SendOutcome, { readonly kind: 'sent' }>;

/** What the caller is told of a mail that the provider did not take, or may not have taken (contract 7.2). */
export function failureRefusal(outcome: Failure, messageId?: string): ApiError {
  const { status, type, message } = FAILURES[outcome.kind];
  const refusedMail = outcome.kind === 'rejected' && outcome.refused.length === 0;
  return new ApiError(status, type, refusedMail ? REFUSED_MAIL : message, {
    reason: outcome.reason,
    // Its opens and clicks will be told under this id, should it have gone out.
    ...(outcome.kind === 'unknown' && messageId !== undefined && { message_id: messageId }),
    ...('refused' in outcome && outcome.refused.length > 0 && { refused: outcome.refused }),
    ...('retryAfterSeconds' in outcome && { retry_after: outcome.retryAfterSeconds }),
  });
}

/** The same for a notification, in the shape of contract 2.5: what happened, and then the provider's own words and code. */
export function failureTold(outcome: Exclude<Failure, { readonly kind: 'unknown' }>): SendFailure {
  const { status, type, message, providerError } = failureRefusal(outcome);
  const said = 'refused' in outcome ? (outcome.refused[0]?.reason ?? outcome.reason) : outcome.reason;
  const code = /^[45]\d\d(?=[ -])/.exec(said)?.[0];
  const statusCode = code === undefined ? status : Number(code);
  return {
    reason: message,
    error: {
      type,
      message: said,
      statusCode,
      providerError: { ...(code !== undefined && { code }), ...providerError },
    },
  };
}

/** The same of a mail that could not even be handed over. */
export function refusalTold({ type, message, status }: ApiError): SendFailure {
  return { reason: NOT_SENT, error: { type, message, statusCode: status, providerError: null } };
}

/** What was found out of a send that nobody was answered, and that no answer therefore tells. */
export function conclusionTold(message: string): SendFailure {
  return { reason: NOT_SENT, error: { type: 'api.provider_error', message, statusCode: null, providerError: null } };
}

const NOT_SENT = 'The message has not been sent.';
const REFUSED_MAIL = 'The mail provider refused the message.';

/** What is said whether a mail was to be sent or read. */
export const PROVIDER_REFUSALS = {
  unauthorised: {
    status: 403,
    type: 'api.provider_error',
    message: 'The mail provider refused the credentials of this grant; authenticate it again.',
  },
  throttled: { status: 429, type: 'api.rate_limit_error', message: 'Too many requests, please try again shortly.' },
} as const;

const FAILURES = {
  ...PROVIDER_REFUSALS,
  rejected: { status: 402, type: 'api.provider_error', message: 'Sending to at least one recipient failed.' },
  failed: { status: 422, type: 'api.provider_error', message: 'The mail provider answered with an error.' },
  deferred: {
    status: 503,
    type: 'api.provider_error',
    message: 'The mail provider asked to try again later. The message has not been sent.',
  },
  unreachable: {
    status: 503,
    type: 'api.provider_error',
    message: 'The mail provider could not be reached. The message has not been sent.',
  },
  unknown: {
    status: 504,
    type: 'api.provider_error',
    message:
      'Provider request timed out. The message may have been sent all the same: it is being looked up and is not sent again.',
  },
} as const satisfies Record<Failure['kind'], { status: number; type: string; message: string }>;
