import { ApiError } from '../errors.ts';
import { wireId } from '../ids.ts';

export function unknownDraftRefusal(id: string): ApiError {
  const name = wireId('dft', id);
  return new ApiError(404, 'api.not_found_error', `draft_id: no draft "${name}" was found in this grant.`);
}

/** It can be neither changed nor sent meanwhile. */
export function busyDraftRefusal(standing: 'sending' | 'unknown'): ApiError {
  return new ApiError(
    409,
    'api.invalid_request_error',
    standing === 'sending'
      ? 'The draft is being sent.'
      : 'The draft may have been sent: its message is being looked up, and is not sent again before that is known.',
  );
}
