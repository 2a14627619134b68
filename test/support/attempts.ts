// Attempts at a destination, as if it had been tried at those times.
import type { Sql } from '../../src/db/pool.ts';
import { uuidv7 } from '../../src/ids.ts';
import type { Outcome } from '../../src/notify/destination.ts';
import { type Settlement, settle } from '../../src/notify/pending.ts';
import type { Verdict } from '../../src/notify/retry.ts';

export const OK: Outcome = { kind: 'ok', status: 200, answer: '', retryAfter: null };
export const DOWN: Outcome = { kind: 'status', status: 503, answer: 'down\nfor now', retryAfter: null };

export interface Tried {
  readonly app: number;
  readonly destinationId: string;
  /** Unix milliseconds. */
  readonly at: number;
  readonly outcome?: Outcome;
  readonly verdict?: Verdict;
  readonly notificationId?: string;
}

/** A first attempt at a notification of its own, unless told otherwise. */
export function settlementOf({ app, destinationId, at, outcome = DOWN, verdict, notificationId }: Tried): Settlement {
  return {
    claim: { app, destinationId, notificationId: notificationId ?? uuidv7(), round: 0, attempt: 1 },
    outcome,
    verdict: verdict ?? (outcome === OK ? { kind: 'delivered' } : { kind: 'retry', at: at + 1000 }),
    startedAt: new Date(at),
    durationMs: 0,
  };
}

export async function tried(sql: Sql, ...attempts: readonly Tried[]): Promise<void> {
  await settle(sql, attempts.map(settlementOf), new Date());
}
