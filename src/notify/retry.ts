import type { RetrySchedule } from '../grants/settings.ts';
import type { Outcome } from './destination.ts';

export type Verdict =
  | { readonly kind: 'delivered' }
  /** `at` in Unix milliseconds. */
  | { readonly kind: 'retry'; readonly at: number }
  /** Every attempt was used up. */
  | { readonly kind: 'exhausted' }
  /** Another attempt would be pointless. */
  | { readonly kind: 'stopped' };

export interface Attempted {
  readonly schedule: RetrySchedule;
  /** From 1 in each round. */
  readonly attempt: number;
  readonly outcome: Pick<Outcome, 'kind' | 'status' | 'retryAfter'>;
  /** Unix milliseconds of the attempt's end. */
  readonly now: number;
  /** From 0 up to 1. */
  readonly random: number;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const JITTER = 0.2;
const OVERLOAD_FLOOR = MINUTE;
const RETRY_AFTER_AT_MOST = HOUR;

/** Waits between the attempts; one attempt more than waits. Contract D18. */
const WAITS: Readonly<Record<RetrySchedule, readonly number[]>> = {
  default: [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR],
  nylas: [150 * SECOND, 750 * SECOND], // the last 12 to 18 minutes after the first
};
const NYLAS_RETRIED = new Set([408, 429, 502, 503, 504, 507]);

/** What follows from one attempt. */
export function decide({ schedule, attempt, outcome, now, random }: Attempted): Verdict {
  const { kind, status } = outcome;
  const success = status !== null && status >= 200 && status < 300;
  if (success && (kind === 'ok' || kind === 'too_large')) return { kind: 'delivered' };
  if (status === 410 || kind === 'gone') return { kind: 'stopped' };
  if (schedule === 'nylas' && status !== null && !NYLAS_RETRIED.has(status)) return { kind: 'stopped' };
  const wait = WAITS[schedule][attempt - 1];
  if (wait === undefined) return { kind: 'exhausted' };
  const planned = wait * (1 - JITTER + 2 * JITTER * random);
  const floor = status === 429 || kind === 'timeout' ? OVERLOAD_FLOOR : 0;
  return { kind: 'retry', at: now + Math.round(Math.max(planned, floor, retryAfterMs(outcome.retryAfter, now))) };
}

export function attemptsOf(schedule: RetrySchedule): number {
  return WAITS[schedule].length + 1;
}

/** How long the receiver asks to be left alone, at most an hour. RFC 9110 section 10.2.3: seconds or a date. */
export function retryAfterMs(text: string | null, now: number): number {
  if (text === null) return 0;
  const ms = /^\s*\d+\s*$/.test(text) ? Number(text) * SECOND : Date.parse(text) - now;
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), RETRY_AFTER_AT_MOST);
}
