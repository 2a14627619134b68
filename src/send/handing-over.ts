import type { Grant } from '../grants/grants.ts';
import type { Log } from '../log.ts';
import type { OutgoingMail, SendOutcome } from '../providers/provider.ts';
import type { SendResult } from '../tracking/messages.ts';
import type { GrantMailbox, GrantMailboxDeps } from './grant-mailbox.ts';
import type { Ledger } from './ledger.ts';
import type { NewSentCopy } from './sent-copies.ts';

export interface HandingDeps extends GrantMailboxDeps {
  readonly log: Log;
  readonly ledger: Ledger;
  /** Milliseconds; the SDKs give up after 90 s. */
  readonly deadlineMs?: number;
}

export const DEADLINE_MS = 75_000;

/** A mail to be given to the provider. */
export interface Handover {
  /** UUIDv7 of the message. */
  readonly message: string;
  readonly mail: OutgoingMail;
  /** What the sender keeps of it, under the Message-ID it left with; asked once it was sent, where Sent is left to us. */
  copy(messageId: string): Promise<Buffer>;
}

/**
 * Gives a mail in state `sending` to the provider, records how that ended and returns it. Never throws for what the
 * provider does: a provider that throws or outstays the deadline leaves `unknown`. Its late answer is still recorded.
 */
export async function giveToProvider(
  deps: HandingDeps,
  grant: Grant,
  mailbox: GrantMailbox,
  handover: Handover,
): Promise<SendOutcome> {
  const { message, mail } = handover;
  // Not AbortSignal.timeout: its timer would outlive the call, thousands of them under load.
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), deps.deadlineMs ?? DEADLINE_MS);
  const { signal } = deadline;
  const record = (outcome: SendOutcome): Promise<void> => recordOutcome(deps, grant, mailbox, handover, outcome);
  const answer = mailbox.send(mail, signal).catch((error: unknown): SendOutcome => {
    deps.log.error({ app: grant.app, message, err: error }, 'send.threw');
    return { kind: 'unknown', reason: 'the provider could not be asked to the end' };
  });
  const outcome = await Promise.race([answer, over(signal)]);
  clearTimeout(timer);
  if (outcome !== 'over') {
    await record(outcome);
    return outcome;
  }
  answer
    .then(record)
    .catch((error: unknown) => deps.log.error({ app: grant.app, message, err: error }, 'send.late_answer_lost'));
  const unknown: SendOutcome = { kind: 'unknown', reason: 'the provider did not answer in time' };
  await record(unknown);
  return unknown;
}

function over(signal: AbortSignal): Promise<'over'> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve('over'), { once: true });
    if (signal.aborted) resolve('over');
  });
}

/** A database that stays away does not change the answer: the row says `sending`, and recovery will look the mail up. */
async function recordOutcome(
  deps: HandingDeps,
  grant: Grant,
  mailbox: GrantMailbox,
  handover: Handover,
  outcome: SendOutcome,
): Promise<void> {
  const { app, id: grantId } = grant;
  const { message } = handover;
  try {
    const copy = outcome.kind === 'sent' && mailbox.wantsCopy() ? await copyOf(deps, grant, handover, outcome) : null;
    await deps.ledger.settle({ app, id: message, result: resultOf(outcome) }, copy);
    await mailbox.keepRenewed(outcome);
    if (outcome.kind === 'unauthorised' && (await mailbox.expire(outcome))) {
      deps.log.warn({ app, grant: grantId, reason: outcome.reason }, 'grant.expired');
    }
  } catch (error) {
    deps.log.error({ app, message, outcome: outcome.kind, err: error }, 'send.unrecorded');
  }
}

/** Null where it could not be made: the mail itself is sent, and that has to be recorded. */
async function copyOf(
  deps: HandingDeps,
  { app, id: grantId }: Grant,
  { message, copy }: Handover,
  { messageId }: { readonly messageId: string },
): Promise<NewSentCopy | null> {
  try {
    return { app, message, grantId, messageId, raw: await copy(messageId) };
  } catch (error) {
    deps.log.error({ app, message, err: error }, 'sent_copy.not_made');
    return null;
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
