import type { GrantMailbox, GrantMailboxDeps } from '../grants/grant-mailbox.ts';
import type { Grant } from '../grants/grants.ts';
import { type Log, withoutAddresses } from '../log.ts';
import type { OutgoingMail, SendOutcome } from '../providers/provider.ts';
import type { SendResult } from '../tracking/messages.ts';
import { type Telling, type ToldMail, telling } from '../tracking/send-facts.ts';
import type { Ledger } from './ledger.ts';
import { failureTold } from './refusals.ts';
import type { NewSentCopy } from './sent-copies.ts';
import type { ComposedMail } from './streamed-mail.ts';

export interface HandingDeps extends GrantMailboxDeps {
  readonly log: Log;
  readonly ledger: Ledger;
  /** Milliseconds; the SDKs give up after 90 s. */
  readonly deadlineMs?: number;
  /** Sends that go on, until they are recorded. */
  readonly running?: Set<Promise<unknown>>;
}

export const DEADLINE_MS = 75_000;
/** For a provider to say, once its time is over, whether it had been given anything. */
const LAST_WORDS_MS = 2_000;

/** A mail to be given to the provider. */
export interface Handover {
  /** UUIDv7 of the message. */
  readonly message: string;
  readonly mail: OutgoingMail;
  /** What the sender keeps of it, under the Message-ID it left with; asked once it was sent, where Sent is left to us. */
  copy(messageId: string): Promise<Buffer | ComposedMail>;
  /** The application wants to be told of every send, not only of those that it is not answered. */
  readonly tells: boolean;
  /** What is told of the mail. */
  told(): ToldMail;
  /** Asked where the mail certainly did not go out; true: that is not to be recorded, the mail will be handed over again. */
  putOff?(outcome: SendOutcome): Promise<boolean>;
}

/**
 * Gives a mail in state `sending` to the provider, records how that ended and returns it. Never throws for what the
 * provider does: a provider that throws, or that says nothing even when its time is over, leaves `unknown`. Its late answer
 * is still recorded.
 */
export async function giveToProvider(
  deps: HandingDeps,
  grant: Grant,
  mailbox: GrantMailbox,
  handover: Handover,
): Promise<SendOutcome> {
  const given = give(deps, grant, mailbox, handover);
  deps.running?.add(given);
  try {
    return await given;
  } finally {
    deps.running?.delete(given);
  }
}

async function give(deps: HandingDeps, grant: Grant, mailbox: GrantMailbox, handover: Handover): Promise<SendOutcome> {
  const { message, mail } = handover;
  // Not AbortSignal.timeout: its timer would outlive the call, thousands of them under load.
  const deadline = new AbortController();
  const deadlineMs = deps.deadlineMs ?? DEADLINE_MS;
  const timer = setTimeout(() => deadline.abort(), deadlineMs);
  const record = (outcome: SendOutcome, tells = handover.tells): Promise<void> =>
    recordOutcome(deps, grant, mailbox, { ...handover, tells }, outcome);
  const answer = mailbox.send(mail, deadline.signal).catch((error: unknown): SendOutcome => {
    deps.log.error({ app: grant.app, message, err: error }, 'send.threw');
    return { kind: 'unknown', reason: 'the provider could not be asked to the end' };
  });
  const outcome = await within(deadlineMs + LAST_WORDS_MS, answer);
  clearTimeout(timer);
  if (outcome !== 'over') {
    await record(outcome);
    return outcome;
  }
  answer
    .then((late) => record(late, true))
    .catch((error: unknown) => deps.log.error({ app: grant.app, message, err: error }, 'send.late_answer_lost'));
  const unknown: SendOutcome = { kind: 'unknown', reason: 'the provider did not answer in time' };
  await record(unknown);
  return unknown;
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T | 'over'> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<'over'>((resolve) => {
    timer = setTimeout(() => resolve('over'), ms);
  });
  try {
    return await Promise.race([promise, over]);
  } finally {
    clearTimeout(timer);
  }
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
    if (!(await isPutOff(handover, outcome))) {
      const settlement = { app, id: message, result: resultOf(outcome), telling: tellingOf(handover, outcome) };
      await deps.ledger.settle({ settlement, copy });
    }
    if (outcome.kind === 'unauthorised' && (await mailbox.expire())) {
      deps.log.warn({ app, grant: grantId, reason: withoutAddresses(outcome.reason) }, 'grant.expired');
    }
  } catch (error) {
    deps.log.error({ app, message, outcome: outcome.kind, err: error }, 'send.unrecorded');
  }
}

async function isPutOff({ putOff }: Handover, outcome: SendOutcome): Promise<boolean> {
  if (putOff === undefined || outcome.kind === 'sent' || outcome.kind === 'unknown') return false;
  return await putOff(outcome);
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

/** Should the row turn out to be `unknown` already, it is told with the little that the row knows. */
function tellingOf({ tells, told }: Handover, outcome: SendOutcome): Telling {
  if (outcome.kind === 'unknown') return telling(false, null, null);
  return telling(tells, tells ? told() : null, outcome.kind === 'sent' ? null : failureTold(outcome));
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
