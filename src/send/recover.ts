import { isConnectionLost } from '../db/pool.ts';
import { type GrantMailbox, type GrantMailboxDeps, openMailbox } from '../grants/grant-mailbox.ts';
import { findGrant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import { type Log, withoutAddresses } from '../log.ts';
import type { FindOutcome } from '../providers/provider.ts';
import {
  CONCLUDED,
  failReserved,
  openSends,
  type SendResult,
  type StoredMessage,
  settleAll,
} from '../tracking/messages.ts';
import { type Telling, type ToldMail, telling } from '../tracking/send-facts.ts';
import { DEADLINE_MS } from './handing-over.ts';
import { conclusionTold } from './refusals.ts';
import { scheduledTold } from './schedules.ts';
import { withinLimit } from './time-limit.ts';

export interface RecoveryDeps extends GrantMailboxDeps {
  readonly log: Log;
  /** Milliseconds that a provider has for a send. */
  readonly deadlineMs?: number;
  readonly lookUpMs?: number;
  readonly everyMs?: number;
}

export interface Recovery {
  /** Cuts off the pass that is running; what it had not settled stays open. */
  close(): Promise<void>;
}

const EVERY_MS = 30_000;
/** Above the deadline, so that no send that is still going on is touched. */
const GIVEN_UP_MS = 120_000;
const LOOK_AGAIN_MS = 600_000;
/** A Sent folder that does not show the mail after a day will not show it later. */
const LOOK_FOR_MS = 24 * 3_600_000;
const LOOK_UP_MS = 20_000;
const BATCH = 100;
/** Mailboxes looked at at once. */
const AT_ONCE = 8;

/** Brings sends to rest that a dead process or a silent provider left open; at once and twice a minute. Never sends again. */
export function startRecovery(deps: RecoveryDeps): Recovery {
  const cut = new AbortController();
  let pass: Promise<unknown> | null = null;
  const look = (): void => {
    pass ??= recoverSends(deps, cut.signal)
      .catch((error: unknown) => deps.log.warn({ err: error }, 'send.recovery_failed'))
      .finally(() => {
        pass = null;
      });
  };
  look();
  const timer = setInterval(look, deps.everyMs ?? EVERY_MS);
  timer.unref();
  return {
    async close() {
      clearInterval(timer);
      cut.abort();
      await pass;
    },
  };
}

/**
 * One pass; returns how many messages changed their state. Several processes may run it at once. Throws for a lost
 * database. After `cut` it settles nothing more.
 */
export async function recoverSends(deps: RecoveryDeps, cut = new AbortController().signal): Promise<number> {
  const silent = Math.max(GIVEN_UP_MS, 1.5 * (deps.deadlineMs ?? DEADLINE_MS));
  const ages = { silent, lookAgain: LOOK_AGAIN_MS, lookFor: LOOK_FOR_MS };
  let changed = await failReserved(deps.sql, silent, ABANDONED);
  if (changed > 0) deps.onFacts?.();
  const mailboxes = byMailbox(await openSends(deps.sql, ages, BATCH));
  const work = async (): Promise<void> => {
    for (let open = mailboxes.shift(); open !== undefined; open = mailboxes.shift()) {
      const recovered = await recoverMailbox(deps, open, cut);
      changed += recovered; // not in one: the sum is read before the wait
    }
  };
  const done = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  for (const each of done) if (each.status === 'rejected') throw each.reason;
  return changed;
}

function byMailbox(messages: readonly StoredMessage[]): StoredMessage[][] {
  const mailboxes = new Map<string, StoredMessage[]>();
  for (const message of messages) {
    const key = `${message.app} ${message.grantId}`;
    const known = mailboxes.get(key);
    if (known === undefined) mailboxes.set(key, [message]);
    else known.push(message);
  }
  return [...mailboxes.values()];
}

/** The messages of one mailbox. Once it cannot be asked, that holds for all the others too. */
async function recoverMailbox(deps: RecoveryDeps, messages: StoredMessage[], cut: AbortSignal): Promise<number> {
  let changed = 0;
  const rest = async (message: StoredMessage, outcome: FindOutcome): Promise<void> => {
    if (!cut.aborted && (await bringToRest(deps, message, resultOf(outcome)))) changed += 1;
  };
  for (let message = messages.shift(); message !== undefined && !cut.aborted; message = messages.shift()) {
    const { outcome, holdsForAll } = await lookUp(deps, message, cut);
    if (holdsForAll) {
      // The one that was asked for comes last, to be asked for last next time: it alone may be what takes too long.
      for (const other of messages.splice(0)) await rest(other, outcome);
    }
    await rest(message, outcome);
  }
  return changed;
}

/**
 * Its outcome is always told: whoever asked for it was not answered. What the database will not write down leaves
 * `unknown`, which is looked at again later, and not for ever.
 */
async function bringToRest(deps: RecoveryDeps, message: StoredMessage, result: SendResult): Promise<boolean> {
  const fields = { app: message.app, grant: message.grantId, message: wireId('msg', message.id) };
  try {
    const mail = await scheduledTold(deps.sql, message.app, message.id);
    const settlement = { app: message.app, id: message.id, result, telling: tellingOf(result, mail) };
    const { changed, told } = await settleAll(deps.sql, [settlement]);
    if (told) deps.onFacts?.();
    if (changed.size === 0) return false;
  } catch (error) {
    if (isConnectionLost(error)) throw error;
    deps.log.error({ ...fields, state: result.state, err: error }, 'send.unsettled');
    if (result === UNWRITTEN) return false;
    return await bringToRest(deps, message, UNWRITTEN);
  }
  const reason = result.state === 'sent' ? {} : { reason: withoutAddresses(result.error.reason) };
  deps.log[result.state === 'sent' ? 'info' : 'error']({ ...fields, state: result.state, ...reason }, 'send.recovered');
  return true;
}

const ABANDONED = telling(true, null, conclusionTold('the process ended before handing the mail over'));

function tellingOf(result: SendResult, mail: ToldMail | null): Telling {
  return telling(true, mail, result.state === 'failed' ? conclusionTold(result.error.reason) : null);
}

const UNWRITTEN: SendResult = {
  state: 'unknown',
  error: { kind: 'unwritten', reason: 'what became of the mail could not be written down' },
};

interface LookedUp {
  readonly outcome: FindOutcome;
  /** It is the mailbox that gave no answer, whatever message was asked for. */
  readonly holdsForAll: boolean;
}

async function lookUp(deps: RecoveryDeps, message: StoredMessage, cut: AbortSignal): Promise<LookedUp> {
  const looked = await withinLimit(deps.lookUpMs ?? LOOK_UP_MS, cut, (signal) => ask(deps, message, signal));
  if (looked !== 'over') return looked;
  return { outcome: { kind: 'unreachable', reason: 'the provider did not answer in time' }, holdsForAll: true };
}

async function ask(deps: RecoveryDeps, message: StoredMessage, signal: AbortSignal): Promise<LookedUp> {
  const { app, grantId } = message;
  const threw = (error: unknown): LookedUp => {
    deps.log.warn({ app, grant: grantId, message: wireId('msg', message.id), err: error }, 'send.lookup_threw');
    return { outcome: { kind: 'unreachable', reason: 'the provider could not be asked' }, holdsForAll: false };
  };
  const closed = (reason: string): LookedUp => ({ outcome: { kind: 'unauthorised', reason }, holdsForAll: true });
  const grant = await findGrant(deps.sql, app, grantId);
  if (grant === null) return closed('the grant was deleted');
  let mailbox: GrantMailbox | null;
  try {
    mailbox = await openMailbox(deps, grant);
  } catch (error) {
    if (isConnectionLost(error)) throw error;
    return threw(error);
  }
  if (mailbox === null) return closed('the grant has no credentials');
  try {
    const outcome = await mailbox.findSent(message.messageId, signal);
    return { outcome, holdsForAll: outcome.kind === 'unauthorised' || outcome.kind === 'unreachable' };
  } catch (error) {
    return threw(error);
  }
}

function resultOf(found: FindOutcome): SendResult {
  switch (found.kind) {
    case 'found':
      return { state: 'sent', messageId: found.messageId, providerMessageId: found.providerMessageId ?? null };
    case 'absent':
      return { state: 'failed', error: { kind: CONCLUDED, reason: 'the provider never took the mail' } };
    case 'unsure':
      return { state: 'unknown', error: { kind: 'unsure', reason: 'the mail is not to be seen in the Sent folder' } };
    case 'unauthorised':
    case 'unreachable':
      return { state: 'unknown', error: { kind: found.kind, reason: found.reason } };
  }
}
