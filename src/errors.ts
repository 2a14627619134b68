/**
 * A request that cannot be served as asked: becomes the v3 error envelope (contract 7.1).
 * `type` carries the `api.` prefix (D20) except for grants (`grant.not_found`) and webhooks (numeric strings, 3.7).
 */
export class ApiError extends Error {
  readonly status: number;
  readonly type: string;
  readonly providerError: Readonly<Record<string, unknown>> | undefined;

  constructor(status: number, type: string, message: string, providerError?: Readonly<Record<string, unknown>>) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.type = type;
    this.providerError = providerError;
  }
}

/** 400 naming the field and the rule. */
export function invalid(field: string, rule: string): ApiError {
  return new ApiError(400, 'api.invalid_request_error', `${field} ${rule}`);
}

/** A start that cannot succeed, told to the operator in plain words; `problems` lists every reason found. */
export class StartError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'StartError';
    this.problems = problems;
  }
}
