import type { WatchProblem } from '../watch.ts';
import { shortened } from '../wording.ts';
import { type ImapProblem, mayPass, problemOf, readFailure } from './problem.ts';
import { Refused, Silent, Throttled } from './wire.ts';

// Said by servers that were asked for too much: RFC 5530, Gmail, Exchange, Yahoo, Dovecot.
const THROTTLED_CODES = new Set(['LIMIT', 'INUSE']);
const THROTTLED =
  /too many|throttl|rate.?limit|limits? (is |was )?(reached|exceeded)|exceeded .*(limit|quota)|bandwidth|simultaneous|maximum (number of )?connections/i;

/** Exchange asks for one to five minutes. */
const LEFT_ALONE_SECONDS = 120;

/** Why a mailbox cannot be watched, from what a call ended with; `bye` is what the server said last. */
export function watchProblemOf(
  error: unknown,
  host: string,
  { bye = '', clean = (words: string): string => words } = {},
): WatchProblem {
  if (error instanceof Silent) return { kind: 'unreachable', reason: `${host} did not answer in time` };
  if (error instanceof Throttled) {
    return { kind: 'throttled', reason: `${host} was asked too much`, retryAfterSeconds: LEFT_ALONE_SECONDS };
  }
  if (bye !== '') return { kind: pressing(bye), reason: `${host} ended the connection: ${said(clean(bye))}` };
  if (error instanceof Refused) {
    const { code, text } = error.failure;
    return {
      kind: THROTTLED_CODES.has(code) ? 'throttled' : pressing(text),
      reason: `${host} refused a command: ${clean(text)}`,
    };
  }
  const wait: unknown = error instanceof Error ? Reflect.get(error, 'throttleReset') : undefined;
  if (typeof wait === 'number' && wait > 0) {
    return { kind: 'throttled', reason: `${host} was asked too much`, retryAfterSeconds: Math.ceil(wait / 1000) };
  }
  const { kind, reason } = problemOf(error, host, clean);
  if (kind === 'unauthorised') return { kind, reason };
  const failure = readFailure(error);
  const isThrottled = mayPass(failure) && (THROTTLED_CODES.has(failure.code) || THROTTLED.test(failure.text));
  return { kind: isThrottled ? 'throttled' : 'unreachable', reason };
}

/** Apart from a refused login, whatever stands in the way may have gone later. */
export function watchable(problem: ImapProblem | WatchProblem): WatchProblem {
  const { kind, reason } = problem;
  if (kind === 'unauthorised' || kind === 'throttled') return { ...problem, kind };
  return { kind: 'unreachable', reason };
}

function pressing(words: string): 'throttled' | 'unreachable' {
  return THROTTLED.test(words) ? 'throttled' : 'unreachable';
}

function said(words: string): string {
  return shortened(words, 200).replace(/[.\s]+$/, '');
}
