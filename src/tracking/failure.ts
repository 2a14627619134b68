import { isConnectionLost, isTransient } from '../db/pool.ts';

/** What a failed transaction says about the batch it was to record. */
export interface Failure {
  /** `wait`: any batch would fail now. `again`: the same batch may pass at once. `poison`: something in it is refused. */
  readonly kind: 'wait' | 'again' | 'poison';
  /** The connection or the server was gone, so commits of before may be gone as well. */
  readonly lost: boolean;
  /** SQLSTATE, driver or system code; '' where there is none. */
  readonly code: string;
  readonly reason: string;
}

export class DeadlinePassed extends Error {
  readonly code = 'DEADLINE';
}

// SQLSTATE classes that hold for every batch: connection, transaction state, authorisation, catalogue, schema,
// resources, object state, operator, system.
const NOT_ABOUT_THE_BATCH = /^(08|25|28|3D|3F|42|53|55|57|58)...$/;
const SERVER_WENT_AWAY = /^(08...|57P..|25006)$/; // 25006: a primary that was demoted
const NETWORK_CODE = /^E(CONN|HOST|NET|ADDR|PIPE|TIMEDOUT|NOTFOUND|AI_)[A-Z]*$/;
const SYSTEM_CODE = /^E[A-Z]{2,}/;

export function failureOf(error: unknown): Failure {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  const reason = `${code} ${error instanceof Error ? error.message : String(error)}`.trim();
  const fromSpool = error instanceof Error && 'path' in error; // as errors of files have, those of sockets not
  const lost =
    !fromSpool &&
    (isConnectionLost(error) ||
      error instanceof DeadlinePassed ||
      SERVER_WENT_AWAY.test(code) ||
      NETWORK_CODE.test(code));
  if (lost || SYSTEM_CODE.test(code) || NOT_ABOUT_THE_BATCH.test(code)) return { kind: 'wait', lost, code, reason };
  // 23505: another node wrote the same uncounted hit; 23514: the partition was dropped since it was seen.
  if (isTransient(error) || code === '23505' || code === '23514') return { kind: 'again', lost, code, reason };
  return { kind: 'poison', lost, code, reason };
}
