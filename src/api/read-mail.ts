import type { FastifyReply } from 'fastify';
import { ApiError } from '../errors.ts';
import { type GrantMailboxDeps, openMailbox } from '../grants/grant-mailbox.ts';
import type { Grant } from '../grants/grants.ts';
import { withoutAddresses } from '../log.ts';
import type { MailContent, ReadOutcome, WantedMail } from '../providers/watch.ts';
import { PROVIDER_REFUSALS } from '../send/refusals.ts';
import { withinLimit } from '../send/time-limit.ts';

export interface ReadMailDeps extends GrantMailboxDeps {
  /** Milliseconds for one look into a mailbox. */
  readonly readMs?: number;
}

/** Twice this is still less than the 90 s after which the SDKs give up. */
const READ_MS = 30_000;

/**
 * Mails as they lie in the grant's mailbox, in the order asked for; null for one that is nowhere, as all are for a
 * grant that can only send. Throws the refusal where the mailbox cannot be read.
 */
export async function readMail(
  deps: ReadMailDeps,
  grant: Grant,
  wanted: readonly WantedMail[],
  gone: AbortSignal,
): Promise<readonly (MailContent | null)[]> {
  const mailbox = await openMailbox(deps, grant);
  if (mailbox === null) throw refusal('unauthorised', 'the grant has no credentials');
  let isLate = false;
  const outcome = await withinLimit(deps.readMs ?? READ_MS, gone, async (signal) => {
    const read = await mailbox.read(wanted, signal);
    isLate = signal.aborted;
    return read;
  });
  if (outcome === 'over') return fail(deps, grant, 'late', { kind: 'unreachable', reason: SILENT });
  if (outcome.kind === 'read') return outcome.mails;
  if (outcome.kind === 'unauthorised' && (await mailbox.expire())) {
    deps.log.warn({ app: grant.app, grant: grant.id, reason: withoutAddresses(outcome.reason) }, 'grant.expired');
  }
  return fail(deps, grant, outcome.kind === 'unreachable' && isLate ? 'late' : outcome.kind, outcome);
}

/** Aborts once nobody waits for the answer any more. */
export function hangUpOf(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}

/** For a provider that names no time. */
const RETRY_AFTER_SECONDS = 30;
const SILENT = 'the provider did not answer in time';

type Problem = Exclude<ReadOutcome, { readonly kind: 'read' }>;

function fail(deps: ReadMailDeps, grant: Grant, kind: keyof typeof REFUSALS, problem: Problem): never {
  const { reason, retryAfterSeconds } = problem;
  deps.log.warn({ app: grant.app, grant: grant.id, outcome: kind, reason: withoutAddresses(reason) }, 'mail.not_read');
  throw refusal(kind, reason, retryAfterSeconds ?? (kind === 'throttled' ? RETRY_AFTER_SECONDS : undefined));
}

function refusal(kind: keyof typeof REFUSALS, reason: string, retryAfterSeconds?: number): ApiError {
  const { status, type, message } = REFUSALS[kind];
  return new ApiError(status, type, message, {
    reason,
    ...(retryAfterSeconds !== undefined && { retry_after: retryAfterSeconds }),
  });
}

const REFUSALS = {
  ...PROVIDER_REFUSALS,
  unreachable: { status: 503, type: 'api.provider_error', message: 'The mail provider could not be reached.' },
  late: { status: 504, type: 'api.provider_error', message: 'Provider request timed out.' },
} as const satisfies Record<Problem['kind'] | 'late', { status: number; type: string; message: string }>;
