import { learnAlias } from '../grants/aliases.ts';
import type { Grant } from '../grants/grants.ts';
import type { ResolveSender, Sender } from '../grants/senders.ts';
import { uuidv7, wireId } from '../ids.ts';
import type { MailBytes } from '../providers/mail-bytes.ts';
import type { RefusedRecipient } from '../providers/provider.ts';
import { telling } from '../tracking/send-facts.ts';
import type { AnsweredThreadDeps } from './answered-thread.ts';
import type { Person } from './compose.ts';
import { handOver, type LetterDeps, sendingMailbox, written } from './letter.ts';
import type { Outgoing, Tracking, Warning } from './outgoing.ts';
import { prepare } from './prepare.ts';
import { failureRefusal, takenRefusal, tooLargeRefusal } from './refusals.ts';
import type { TrackedBodyDeps } from './tracked-body.ts';

export interface SendDeps extends LetterDeps, AnsweredThreadDeps, TrackedBodyDeps {
  readonly senders: ResolveSender;
  readonly now?: () => Date;
}

export interface Sent {
  /** UUIDv7; the wire id is `msg_…`. */
  readonly id: string;
  readonly threadId: string;
  readonly date: Date;
  readonly from: Person;
  /** What is really tracked: less than was asked for where a warning says so. */
  readonly tracking: Tracking;
  /** The mail as it was handed over. */
  readonly raw: MailBytes;
  readonly warnings: readonly Warning[];
}

/**
 * Between the writing of a message's row and its handing over. With the deadline of that it is less than recovery waits
 * before it concludes that the mail was never sent, after which its author may send it again.
 */
export const STOOD_STILL_MS = 30_000;

/**
 * Sends one mail (journey 1). Whatever keeps it from being sent is thrown as an `ApiError`. `id`: the UUIDv7 it is to have;
 * a 409 where a message has it already, so that of several calls with the same id one sends. `threadId`: of the
 * thread that it begins, should it answer nothing.
 */
export async function send(
  deps: SendDeps,
  sender: Sender,
  mail: Outgoing,
  { id: given, threadId: own }: { readonly id?: string | undefined; readonly threadId?: string } = {},
): Promise<Sent> {
  const { grant } = sender;
  const date = deps.now?.() ?? new Date();
  const id = given ?? uuidv7(date.getTime());
  const { letter, threadId, tracking, warnings, reservation } = await prepare(deps, sender, mail, {
    id,
    date,
    threadId: own,
  });
  const mailbox = sendingMailbox(deps, sender);
  const raw = await written(deps, grant.app, letter);
  const asked = Date.now();
  const reserved = await deps.ledger.reserve(reservation);
  if (reserved === 'taken') throw takenRefusal();
  if (reserved === 'unstorable') {
    throw tooLargeRefusal(mail.tracking, 'the message', 'has a label, metadata or a link that cannot be stored.');
  }
  if (Date.now() - asked > STOOD_STILL_MS) {
    const reason = 'the process stood still before it handed the mail over';
    const result = { state: 'failed', error: { kind: 'abandoned', reason } } as const;
    await deps.ledger.settle({
      settlement: { app: grant.app, id, result, telling: telling(false, null, null) },
      copy: null,
    });
    throw failureRefusal({ kind: 'unreachable', reason });
  }
  const leaving = { tells: sender.settings.notifySends };
  const outcome = await handOver(deps, grant, mailbox, { letter, raw, leaving });
  if (outcome.kind !== 'sent') throw failureRefusal(outcome, wireId('msg', id));
  learnSender(deps, grant, letter.from.email);
  const { from } = letter;
  return { id, threadId, date, from, tracking, raw, warnings: [...warnings, ...refusedWarnings(outcome.refused)] };
}

/** That the server took this address from it. Beside what goes on, which it neither delays nor changes. */
export function learnSender({ sql, log, running }: LetterDeps, grant: Grant, from: string): void {
  const learning = learnAlias(sql, grant, from)
    .catch((error: unknown) => log.warn({ app: grant.app, grant: grant.id, err: error }, 'grant.alias_not_learnt'))
    .finally(() => running?.delete(learning));
  running?.add(learning);
}

function refusedWarnings(refused: readonly RefusedRecipient[]): Warning[] {
  return refused.map(({ address, reason }) => ({
    type: 'recipient_refused',
    message: `${address} did not get the message: ${reason}`,
  }));
}
