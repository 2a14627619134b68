// One try to put a copy into Sent, and what follows from how it ended.
import { isConnectionLost } from '../db/pool.ts';
import { type GrantMailbox, type GrantMailboxDeps, openMailbox } from '../grants/grant-mailbox.ts';
import { findGrant, type Grant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import { type Log, withoutAddresses } from '../log.ts';
import { sizeOf } from '../providers/mail-bytes.ts';
import type { CopyOutcome } from '../providers/provider.ts';
import { type Copy, drop, giveBack, putOff, restMailbox } from './copy-queue.ts';
import { limitFor, withinLimit } from './time-limit.ts';

export interface KeepDeps extends GrantMailboxDeps {
  readonly log: Log;
  /** Milliseconds to wait after the first failed try, the second and so on; the last one repeats. */
  readonly schedule: readonly number[];
  readonly tryMs: number;
}

/** Plain numbers, only ever moved here. */
export interface CopyCounts {
  /** Put into Sent by us. */
  kept: number;
  /** The server had one already. */
  there: number;
  retried: number;
  givenUp: number;
}

/** Answers whether it makes sense to go on with other copies of this mailbox. Throws only for a database that fails. */
export async function keep(deps: KeepDeps, counts: CopyCounts, copy: Copy, cut: AbortSignal): Promise<boolean> {
  const grant = await findGrant(deps.sql, copy.app, copy.grantId);
  if (grant === null) {
    await drop(deps.sql, copy); // erased with its grant
    return true;
  }
  const giveUp = (messageId: string, { kind, reason }: Reasoned): void => {
    counts.givenUp += 1;
    const names = { app: copy.app, grant: copy.grantId, message: wireId('msg', messageId) };
    deps.log.error({ ...names, outcome: kind, reason: withoutAddresses(reason) }, 'sent_copy.given_up');
  };
  if (grant.state !== 'valid') {
    if (copy.old) {
      await drop(deps.sql, copy);
      giveUp(copy.messageId, { kind: 'unauthorised', reason: 'the grant has expired' });
    } else await giveBack(deps.sql, copy);
    return copy.old;
  }
  const outcome = await attempt(deps, grant, copy, cut);
  const names = { app: copy.app, grant: copy.grantId, message: wireId('msg', copy.messageId), outcome: outcome.kind };
  if (outcome.kind === 'kept' || outcome.kind === 'there') {
    counts[outcome.kind] += 1;
    await drop(deps.sql, copy);
    deps.log.info(names, 'sent_copy.kept');
    return true;
  }
  if (outcome.kind === 'unreachable' && cut.aborted) {
    await giveBack(deps.sql, copy); // we hung up
    return false;
  }
  if (outcome.kind === 'refused' || (outcome.kind === 'full' && copy.old)) {
    await drop(deps.sql, copy);
    giveUp(copy.messageId, outcome);
    return true;
  }
  const wait = deps.schedule[Math.min(copy.attempts, deps.schedule.length) - 1] ?? 0;
  const reason = withoutAddresses(outcome.reason);
  if (outcome.kind === 'full') {
    await putOff(deps.sql, copy, wait);
  } else {
    for (const messageId of await restMailbox(deps.sql, copy, wait)) giveUp(messageId, outcome);
    if (copy.old) return false;
  }
  counts.retried += 1;
  deps.log.warn({ ...names, reason, attempts: copy.attempts }, 'sent_copy.retried');
  return outcome.kind === 'full';
}

interface Reasoned {
  readonly kind: string;
  readonly reason: string;
}

async function attempt(deps: KeepDeps, grant: Grant, copy: Copy, cut: AbortSignal): Promise<CopyOutcome> {
  const limit = limitFor(copy.raw === null ? 0 : sizeOf(copy.raw), deps.tryMs);
  const tried = await withinLimit(limit, cut, (signal) => ask(deps, grant, copy, signal));
  return tried === 'over' ? { kind: 'unreachable', reason: 'the provider did not answer in time' } : tried;
}

async function ask(deps: KeepDeps, grant: Grant, copy: Copy, signal: AbortSignal): Promise<CopyOutcome> {
  const threw = (error: unknown): CopyOutcome => {
    const names = { app: grant.app, grant: grant.id, message: wireId('msg', copy.messageId) };
    deps.log.error({ ...names, err: error }, 'sent_copy.threw');
    return { kind: 'unreachable', reason: 'the provider could not be asked' };
  };
  let mailbox: GrantMailbox | null;
  try {
    mailbox = await openMailbox(deps, grant);
  } catch (error) {
    if (isConnectionLost(error)) throw error; // the claim runs out
    return threw(error);
  }
  if (mailbox === null) return { kind: 'unauthorised', reason: 'the grant has no credentials' };
  if (copy.raw === null) return { kind: 'refused', reason: 'its bytes have gone' };
  try {
    const outcome = await mailbox.keepCopy({ messageId: copy.header, raw: copy.raw }, signal);
    if (outcome.kind === 'unauthorised' && (await mailbox.expire())) {
      deps.log.warn({ app: grant.app, grant: grant.id, reason: withoutAddresses(outcome.reason) }, 'grant.expired');
    }
    return outcome;
  } catch (error) {
    return threw(error);
  }
}
