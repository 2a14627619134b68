// One scheduled mail when its time has come: checked again, composed, handed over.
import { retrying } from '../db/pool.ts';
import { ApiError } from '../errors.ts';
import { type Grant, requireValid } from '../grants/grants.ts';
import type { ResolveSender, Sender } from '../grants/senders.ts';
import { wireId } from '../ids.ts';
import type { SendOutcome } from '../providers/provider.ts';
import { messageById } from '../tracking/messages.ts';
import { telling } from '../tracking/send-facts.ts';
import { checkTracking } from './checks.ts';
import { handOver, type Letter, type LetterDeps, sendingMailbox, toldOf, written } from './letter.ts';
import { refusalTold } from './refusals.ts';
import { type Due, putOff } from './schedule-queue.ts';
import { cancelSchedule, scheduledOf } from './schedules.ts';
import { learnSender, STOOD_STILL_MS } from './send.ts';

export interface DepartureDeps extends LetterDeps {
  readonly senders: ResolveSender;
  /** How much later than its time a mail may leave. */
  readonly graceMs: number;
  /** Milliseconds until a mail whose provider could not take it is handed over again. */
  readonly waits?: readonly number[];
}

const MINUTE = 60_000;
const PUTTING_OFF_MS = 10 * MINUTE;
/** Then it is told as failed: 38 minutes after the first try. */
const WAITS = [MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE];

/**
 * Brings a due mail to its provider, or says why not; what becomes of it is recorded and told. `release` makes it ours
 * alone. Null: it was not ours, or is still open.
 */
export async function depart(
  deps: DepartureDeps,
  due: Due,
  release: () => Promise<boolean>,
): Promise<'sent' | 'failed' | 'putOff' | null> {
  const sender = await senderOf(deps, due);
  if (sender === null) {
    await cancelSchedule(deps.sql, due.app, due);
    return null;
  }
  const letter = await letterOf(deps, due);
  const ready = await readied(deps, sender, letter, due);
  const asked = Date.now();
  if (!(await release())) return null;
  if (Date.now() - asked > STOOD_STILL_MS) return (await putOff(deps.sql, due, 0)) ? 'putOff' : null;
  if (ready instanceof ApiError) {
    await fail(deps, sender.grant, letter, due, ready);
    return 'failed';
  }
  let again = false;
  const outcome = await handOver(deps, sender.grant, ready.mailbox, {
    letter,
    raw: ready.raw,
    leaving: {
      tells: true,
      scheduled: scheduledOf(due),
      putOff: async (failure) => {
        again = await isPutOff(deps, due, failure);
        return again;
      },
    },
  });
  if (again) return 'putOff';
  if (outcome.kind === 'unknown') return null;
  if (outcome.kind !== 'sent') return 'failed';
  learnSender(deps, sender.grant, letter.from.email);
  return 'sent';
}

/** Null where the grant was deleted. */
async function senderOf(deps: DepartureDeps, { app, grantId }: Due): Promise<Sender | null> {
  try {
    return await deps.senders(app, grantId);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

async function letterOf({ sql }: DepartureDeps, { app, messageId, mail, trackedBody }: Due): Promise<Letter> {
  const message = await messageById(sql, app, messageId);
  if (message === null || mail.from === null) throw new Error('a scheduled mail is not whole');
  return {
    id: messageId,
    messageId: message.messageId,
    date: new Date(),
    from: mail.from,
    ancestors: message.ancestors,
    mail,
    body: trackedBody ?? mail.body,
  };
}

/** All that may have changed since it was scheduled is asked again; an `ApiError` says what keeps it from leaving. */
async function readied(deps: DepartureDeps, sender: Sender, letter: Letter, due: Due) {
  try {
    if (due.late) throw lateRefusal(due, deps.graceMs);
    requireValid(sender.grant);
    checkTracking(sender, due.mail);
    const mailbox = sendingMailbox(deps, sender);
    return { mailbox, raw: await written(deps, due.app, letter) };
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
}

function lateRefusal({ sendAt }: Due, graceMs: number): ApiError {
  const minutes = Math.round(graceMs / MINUTE);
  return new ApiError(
    503,
    'api.internal_error',
    `It was to be sent at ${sendAt.toISOString()} and could not be within ${minutes} minutes after that; it was not sent later.`,
  );
}

async function fail(deps: DepartureDeps, grant: Grant, letter: Letter, due: Due, refusal: ApiError): Promise<void> {
  const { app } = grant;
  const { id } = letter;
  const reason = refusal.message;
  deps.log.warn({ app, grant: grant.id, message: wireId('msg', id), reason }, 'schedule.failed');
  const mail = { ...toldOf(due.mail, letter.from), ...scheduledOf(due) };
  await deps.ledger.settle({
    settlement: {
      app,
      id,
      result: { state: 'failed', error: { kind: 'unsendable', reason } },
      telling: telling(true, mail, refusalTold(refusal)),
    },
    copy: null,
  });
}

async function isPutOff({ sql, waits = WAITS, graceMs, log }: DepartureDeps, due: Due, failure: SendOutcome) {
  if (failure.kind !== 'unreachable' && failure.kind !== 'deferred' && failure.kind !== 'throttled') return false;
  const planned = waits[due.attempts];
  if (planned === undefined) return false;
  const asked = failure.kind === 'throttled' ? (failure.retryAfterSeconds ?? 0) * 1000 : 0;
  const wait = Math.max(planned, asked);
  if (Date.now() + wait > due.sendAt.getTime() + graceMs) return false;
  // A database that comes back before recovery gets to it finds the mail where it was. Should it have been written down
  // already, the second try finds it `scheduled`, which nothing that follows changes.
  const off = await retrying(() => putOff(sql, due, wait), PUTTING_OFF_MS);
  if (off) log.info({ app: due.app, grant: due.grantId, schedule: due.id, waitMs: wait }, 'schedule.put_off');
  return off;
}
