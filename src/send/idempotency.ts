import type { Query } from '../db/pool.ts';
import { ApiError } from '../errors.ts';
import { uuidv7, wireId } from '../ids.ts';
import { failureOfSend } from '../tracking/failed-sends.ts';
import { messageById, type StoredMessage } from '../tracking/messages.ts';
import { type Claim, claimRequest, giveBackAs, type IdempotentRequest, takeOver } from './idempotent-requests.ts';
import { failureRefusal } from './refusals.ts';

export type Begun =
  /** To be done, under the claim's message id. */
  | { readonly kind: 'run'; readonly claim: Claim }
  | { readonly kind: 'answered'; readonly status: number; readonly answer: string }
  /** An earlier try got as far as this message, but to no answer that anybody knows of. */
  | { readonly kind: 'left'; readonly claim: Claim; readonly message: StoredMessage }
  | { readonly kind: 'running' }
  | { readonly kind: 'different' };

/** What is to be done with a request under this key. Of all that run it, on any node, one at most sends. */
export async function begin(sql: Query, request: IdempotentRequest): Promise<Begun> {
  const claimed = await claimRequest(sql, request);
  if (claimed.kind === 'ours') return { kind: 'run', claim: claimed.claim };
  if (claimed.kind !== 'theirs') return claimed;
  const { claim, isFree } = claimed;
  const message = await messageById(sql, request.app, claim.messageId);
  const mayFail = message?.state === 'failed' && (await failedForNow(sql, message));
  if (message !== null && !mayFail) return { kind: 'left', claim, message };
  if (message === null && !isFree) return { kind: 'running' };
  // A try that was only thought dead may still come to send: under the same id, which one of the two will get. Where it
  // asked for something else, its mail is not to be taken for this one.
  const isSame = message === null && claim.hash.equals(request.hash);
  const ours = await takeOver(sql, request, claim, isSame ? claim.messageId : uuidv7());
  return ours === null ? { kind: 'running' } : { kind: 'run', claim: ours };
}

/** After a failure that says "again later". Not where it may have been sent, or another try is about to. */
export async function giveBack(sql: Query, claim: Claim): Promise<void> {
  const message = await messageById(sql, claim.app, claim.messageId);
  if (message === null) await giveBackAs(sql, claim, claim.messageId);
  else if (message.state === 'failed') await giveBackAs(sql, claim, uuidv7());
}

/** What became of a send whose own answer is lost: what its failure, or its not being at rest, is answered with. */
export async function leftRefusal(sql: Query, { app, id, state }: StoredMessage): Promise<ApiError> {
  const failure = state === 'failed' ? await failureOfSend(sql, app, id) : null;
  if (failure === null) return concurrentRefusal();
  const { kind, reason } = failure;
  if (kind === 'unauthorised' || kind === 'failed') return failureRefusal({ kind, reason });
  if (kind === 'rejected') return failureRefusal({ kind, reason, refused: [] });
  return new ApiError(422, 'api.provider_error', 'The message has not been sent.', { reason });
}

export function concurrentRefusal(): ApiError {
  return new ApiError(
    409,
    'api.concurrent_idempotent_request',
    'A request with this Idempotency-Key has not been answered yet; try again in a moment.',
  );
}

/** The try that got as far as this message is not answered any more, and its mail may have gone out. */
export function openRefusal({ id }: Pick<StoredMessage, 'id'>): ApiError {
  return new ApiError(
    409,
    'api.concurrent_idempotent_request',
    'The request with this Idempotency-Key was cut off. Whether its message went out is being looked up; nothing is sent again.',
    { message_id: wireId('msg', id) },
  );
}

export function differentRefusal(): ApiError {
  return new ApiError(
    409,
    'api.invalid_idempotent_request',
    'This Idempotency-Key was used for another request; use a new one, or repeat that request unchanged.',
  );
}

/** Kinds of failures after which the same mail may well be sent; its caller would have been told so. */
const FOR_NOW = new Set(['deferred', 'unreachable', 'throttled', 'abandoned']);

async function failedForNow(sql: Query, { app, id }: StoredMessage): Promise<boolean> {
  const failure = await failureOfSend(sql, app, id);
  return failure !== null && FOR_NOW.has(failure.kind);
}
