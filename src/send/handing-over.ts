import { retrying, type Sql } from '../db/pool.ts';
import { replaceCredentials } from '../grants/credentials.ts';
import { expireGrant, type Grant } from '../grants/grants.ts';
import type { Vault } from '../grants/vault.ts';
import type { Log } from '../log.ts';
import type { Account, Credentials, OutgoingMail, Providers, SendOutcome } from '../providers/provider.ts';
import { type SendResult, settle } from '../tracking/messages.ts';

export interface HandingDeps {
  readonly sql: Sql;
  readonly vault: Vault;
  readonly providers: Providers;
  readonly log: Log;
  /** Milliseconds; the SDKs give up after 90 s. */
  readonly deadlineMs?: number;
}

export const DEADLINE_MS = 75_000;

export function accountOf(grant: Grant): Account {
  return { app: grant.app, grantId: grant.id, email: grant.email };
}

/**
 * Gives a mail in state `sending` to the provider, records how that ended and returns it. Never throws for what the
 * provider does: a provider that throws or outstays the deadline leaves `unknown`. Its late answer is still recorded.
 */
export async function giveToProvider(
  deps: HandingDeps,
  grant: Grant,
  credentials: Credentials,
  message: string,
  mail: OutgoingMail,
): Promise<SendOutcome> {
  const signal = AbortSignal.timeout(deps.deadlineMs ?? DEADLINE_MS);
  const provider = deps.providers[credentials.provider];
  const answer = provider.send(accountOf(grant), credentials, mail, signal).catch((error: unknown): SendOutcome => {
    deps.log.error({ app: grant.app, message, err: error }, 'send.threw');
    return { kind: 'unknown', reason: 'the provider could not be asked to the end' };
  });
  const outcome = await Promise.race([answer, over(signal)]);
  if (outcome !== 'over') {
    await record(deps, grant, message, outcome);
    return outcome;
  }
  answer
    .then((late) => record(deps, grant, message, late))
    .catch((error: unknown) => deps.log.error({ app: grant.app, message, err: error }, 'send.late_answer_lost'));
  const unknown: SendOutcome = { kind: 'unknown', reason: 'the provider did not answer in time' };
  await record(deps, grant, message, unknown);
  return unknown;
}

function over(signal: AbortSignal): Promise<'over'> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve('over'), { once: true });
    if (signal.aborted) resolve('over');
  });
}

/** A database that stays away does not change the answer: the row says `sending`, and recovery will look the mail up. */
async function record(deps: HandingDeps, grant: Grant, message: string, outcome: SendOutcome): Promise<void> {
  try {
    await retrying(() => settle(deps.sql, grant.app, message, resultOf(outcome)));
    if (outcome.kind === 'sent' && outcome.renewed) {
      await replaceCredentials(deps, grant.app, grant.id, outcome.renewed);
    }
    if (outcome.kind === 'unauthorised' && (await expireGrant(deps.sql, grant.app, grant.id))) {
      deps.log.warn({ app: grant.app, grant: grant.id }, 'grant.expired');
    }
  } catch (error) {
    deps.log.error({ app: grant.app, message, outcome: outcome.kind, err: error }, 'send.unrecorded');
  }
}

export function resultOf(outcome: SendOutcome): SendResult {
  if (outcome.kind === 'sent') {
    return {
      state: 'sent',
      messageId: outcome.messageId,
      providerMessageId: outcome.providerMessageId ?? null,
    };
  }
  const error = { kind: outcome.kind, reason: outcome.reason };
  return { state: outcome.kind === 'unknown' ? 'unknown' : 'failed', error };
}
