import { findGrant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import type { FindOutcome } from '../providers/provider.ts';
import { CONCLUDED, openSends, type SendResult, type StoredMessage, settle } from '../tracking/messages.ts';
import { openMailbox } from './grant-mailbox.ts';
import { DEADLINE_MS, type HandingDeps } from './handing-over.ts';

export interface Recovery {
  /** Resolves when the pass that is running has ended. */
  close(): Promise<void>;
}

const EVERY_MS = 30_000;
/** Above the deadline, so that no send that is still going on is touched. */
const GIVEN_UP_MS = 120_000;
const LOOK_AGAIN_MS = 600_000;
/** A Sent folder that does not show the mail after a day will not show it later. */
const LOOK_FOR_MS = 24 * 3_600_000;
const LOOKUP_MS = 20_000;
const BATCH = 100;

/** Brings sends to rest that a dead process or a silent provider left open; at once and twice a minute. Never sends again. */
export function startRecovery(deps: HandingDeps): Recovery {
  let pass: Promise<void> = Promise.resolve();
  const look = (): void => {
    pass = pass.then(async () => {
      try {
        await recoverSends(deps);
      } catch (error) {
        deps.log.warn({ err: error }, 'send.recovery_failed');
      }
    });
  };
  look();
  const timer = setInterval(look, EVERY_MS);
  timer.unref();
  return {
    async close() {
      clearInterval(timer);
      await pass;
    },
  };
}

/** One pass; returns how many messages changed their state. Several processes may run it at once. */
export async function recoverSends(deps: HandingDeps): Promise<number> {
  const silent = Math.max(GIVEN_UP_MS, 1.5 * (deps.deadlineMs ?? DEADLINE_MS));
  const ages = { silent, lookAgain: LOOK_AGAIN_MS, lookFor: LOOK_FOR_MS };
  let changed = 0;
  for (const message of await openSends(deps.sql, ages, BATCH)) {
    if (await recover(deps, message)) changed += 1;
  }
  return changed;
}

async function recover(deps: HandingDeps, message: StoredMessage): Promise<boolean> {
  const fields = { app: message.app, grant: message.grantId, message: wireId('msg', message.id) };
  const result = resultOf(await lookUp(deps, message));
  if (!(await settle(deps.sql, message.app, message.id, result))) return false;
  const reason = result.state === 'sent' ? {} : { reason: result.error.reason };
  deps.log[result.state === 'sent' ? 'info' : 'error']({ ...fields, state: result.state, ...reason }, 'send.recovered');
  return true;
}

async function lookUp(deps: HandingDeps, message: StoredMessage): Promise<FindOutcome> {
  const grant = await findGrant(deps.sql, message.app, message.grantId);
  if (grant === null) return { kind: 'unauthorised', reason: 'the grant was deleted' };
  const mailbox = await openMailbox(deps, grant);
  if (mailbox === null) return { kind: 'unauthorised', reason: 'the grant has no credentials' };
  try {
    const found = await mailbox.findSent(message.messageId, AbortSignal.timeout(LOOKUP_MS));
    await mailbox.keepRenewed(found);
    return found;
  } catch (error) {
    deps.log.warn({ app: message.app, message: wireId('msg', message.id), err: error }, 'send.lookup_threw');
    return { kind: 'unreachable', reason: 'the provider could not be asked' };
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
