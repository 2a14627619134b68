import { randomUUID } from 'node:crypto';
import { type FetchOutcome, type PublicUrl, type SafeFetch, withParameter } from '../safe-fetch.ts';

const ANSWER_BYTES = 256;

export interface ChallengeDeps {
  readonly safeFetch: Pick<SafeFetch, 'request'>;
  readonly deadlineMs: number;
}

/** Asks a receiver once to prove that it wants our deliveries. Null where it did, else why not, as the API says it. */
export async function challenge(deps: ChallengeDeps, url: PublicUrl): Promise<string | null> {
  const expected = randomUUID(); // needs no encoding: the Java helper does not decode
  const outcome = await deps.safeFetch.request(withParameter(url, 'challenge', expected), {
    method: 'GET',
    headers: { 'User-Agent': 'Telltale' },
    deadlineMs: deps.deadlineMs,
    maxAnswerBytes: ANSWER_BYTES,
  });
  return problemOf(outcome, expected);
}

function problemOf(outcome: FetchOutcome, expected: string): string | null {
  if ('detail' in outcome) return outcome.detail;
  if (outcome.kind === 'redirect') return `status is not ok, got ${outcome.status}; redirects are not followed`;
  if (outcome.status !== 200) return `status is not ok, got ${outcome.status}`;
  return outcome.kind === 'ok' && outcome.body === expected ? null : 'the body is not exactly the challenge';
}
