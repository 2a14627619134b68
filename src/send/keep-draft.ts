// One try to make the mailbox like a draft, and what follows from how it ended.
import { isConnectionLost, type Sql } from '../db/pool.ts';
import { ApiError } from '../errors.ts';
import { type GrantMailbox, type GrantMailboxDeps, openMailbox } from '../grants/grant-mailbox.ts';
import { findGrant, type Grant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import { type Log, withoutAddresses } from '../log.ts';
import type { CopyOutcome, DraftCopy } from '../providers/provider.ts';
import { type AnsweredThreadDeps, answeredThread } from './answered-thread.ts';
import { compose, messageIdHeader } from './compose.ts';
import {
  type DueDraft,
  eraseDraft,
  putOffDraft,
  restDrafts,
  settleKept,
  settleRefused,
  standingOf,
} from './draft-queue.ts';
import { lockDraft } from './draft-rows.ts';
import { abandonSend, changingDraft, endDraft } from './draft-sending.ts';
import { mailFromText } from './stored-mail.ts';
import { blobReader } from './streamed-mail.ts';
import { limitFor, withinLimit } from './time-limit.ts';
import { cleanBody, type TrackedBodyDeps } from './tracked-body.ts';

export interface KeepDraftDeps extends GrantMailboxDeps, AnsweredThreadDeps, Pick<TrackedBodyDeps, 'keys'> {
  readonly log: Log;
  /** Milliseconds to wait after the first failed try, the second and so on; the last one repeats. */
  readonly schedule: readonly number[];
  readonly tryMs: number;
}

/** Plain numbers, only ever moved here. */
export interface DraftCounts {
  /** Put into Drafts, or found there as they should be. */
  kept: number;
  /** Taken out after they were sent or deleted. */
  removed: number;
  retried: number;
  givenUp: number;
}

/** How often a draft that is being sent, or may have been, is asked what became of it. */
const SENDING_MS = 60_000;
/** For a grant that has expired; renewing it wakes its drafts. */
const EXPIRED_MS = 3_600_000;

/** Answers whether it makes sense to go on with other drafts of this mailbox. Throws only for a database that fails. */
export async function keepDraft(
  deps: KeepDraftDeps,
  counts: DraftCounts,
  claimed: DueDraft,
  cut: AbortSignal,
): Promise<boolean> {
  const { sql } = deps;
  const grant = await findGrant(sql, claimed.app, claimed.grantId);
  if (grant === null) {
    await eraseDraft(sql, claimed);
    return true;
  }
  const draft = claimed.messageId === null || claimed.deleted ? claimed : await afterSending(deps, grant, claimed);
  if (draft === null) return true;

  const { version, keptVersion, deleted, attempts } = draft;
  const isThere = deleted ? keptVersion === 0 && attempts === 1 : keptVersion === version;
  if (isThere) return await settle(deps, draft);
  const outcome = grant.state === 'valid' ? await attempt(deps, grant, draft, cut) : EXPIRED;
  const names = { app: draft.app, grant: draft.grantId, draft: wireId('dft', draft.id), outcome: outcome.kind };
  if (outcome.kind === 'kept' || outcome.kind === 'there') {
    counts[deleted ? 'removed' : 'kept'] += 1;
    deps.log.info(names, deleted ? 'draft.removed' : 'draft.kept');
    return await settle(deps, draft);
  }
  if (outcome.kind === 'unreachable' && cut.aborted) {
    await putOffDraft(sql, draft, 0); // we hung up
    return false;
  }
  const reason = withoutAddresses(outcome.reason);
  if (outcome.kind === 'refused' || (deleted && draft.old)) {
    counts.givenUp += 1;
    deps.log.error({ ...names, reason }, 'draft.given_up');
    if (deleted) await eraseDraft(sql, draft);
    else await settleRefused(sql, draft);
    return outcome.kind === 'refused';
  }
  if (outcome === EXPIRED) {
    await restDrafts(sql, draft, EXPIRED_MS, attempts - 1);
    return false;
  }
  const wait = deps.schedule[Math.min(attempts, deps.schedule.length) - 1] ?? 0;
  counts.retried += 1;
  deps.log.warn({ ...names, reason, attempts }, 'draft.retried');
  if (outcome.kind === 'full') await putOffDraft(sql, draft, wait);
  else await restDrafts(sql, draft, wait);
  return outcome.kind === 'full';
}

const EXPIRED: CopyOutcome = { kind: 'unauthorised', reason: 'the grant has expired' };

async function settle({ sql }: KeepDraftDeps, draft: DueDraft): Promise<true> {
  if (draft.deleted) await eraseDraft(sql, draft);
  else await settleKept(sql, draft);
  return true;
}

/** What is left to do for a draft that was to be sent; null: nothing now. */
async function afterSending({ sql }: KeepDraftDeps, grant: Grant, draft: DueDraft): Promise<DueDraft | null> {
  const standing = await standingOf(sql, draft);
  const isOver = standing === 'abandoned' ? await abandoned(sql, grant, draft) : standing !== 'sending';
  if (!isOver || standing === 'unknown') {
    await putOffDraft(sql, draft, SENDING_MS, draft.attempts - 1);
    return null;
  }
  if (standing !== 'sent') return draft;
  await endDraft(sql, grant, draft.id);
  return { ...draft, deleted: true };
}

/** False where it is being sent after all. */
async function abandoned(sql: Sql, grant: Grant, { id }: DueDraft): Promise<boolean> {
  try {
    return await changingDraft(sql, async (tx) => {
      const draft = await lockDraft(tx, grant, id);
      if (draft?.standing === 'abandoned') await abandonSend(tx, grant, draft);
      return draft?.standing === 'abandoned';
    });
  } catch (error) {
    if (error instanceof ApiError) return false;
    throw error;
  }
}

async function attempt(deps: KeepDraftDeps, grant: Grant, draft: DueDraft, cut: AbortSignal): Promise<CopyOutcome> {
  const limit = limitFor(attachedBytes(draft), deps.tryMs);
  const tried = await withinLimit(limit, cut, (signal) => ask(deps, grant, draft, signal));
  return tried === 'over' ? { kind: 'unreachable', reason: 'the provider did not answer in time' } : tried;
}

async function ask(deps: KeepDraftDeps, grant: Grant, draft: DueDraft, signal: AbortSignal): Promise<CopyOutcome> {
  const threw = (error: unknown): CopyOutcome => {
    if (isConnectionLost(error)) throw error; // the claim runs out
    deps.log.error({ app: grant.app, grant: grant.id, draft: wireId('dft', draft.id), err: error }, 'draft.threw');
    return { kind: 'unreachable', reason: 'the provider could not be asked' };
  };
  let mailbox: GrantMailbox | null;
  try {
    mailbox = await openMailbox(deps, grant);
  } catch (error) {
    return threw(error);
  }
  if (mailbox === null) return { kind: 'unauthorised', reason: 'the grant has no credentials' };
  if (!mailbox.wantsDrafts()) return { kind: 'there' };
  let version: DraftCopy['version'];
  try {
    version = draft.deleted ? null : await shownDraft(deps, grant, draft);
  } catch (error) {
    threw(error);
    return { kind: 'refused', reason: 'it could not be written as a mail' };
  }
  try {
    const outcome = await mailbox.keepDraft({ draft: draft.id, version }, signal);
    if (outcome.kind === 'unauthorised' && (await mailbox.expire())) {
      deps.log.warn({ app: grant.app, grant: grant.id, reason: withoutAddresses(outcome.reason) }, 'grant.expired');
    }
    return outcome;
  } catch (error) {
    return threw(error);
  }
}

/** As they lie in the mail, in base64. */
function attachedBytes({ text, deleted }: DueDraft): number {
  if (deleted) return 0;
  return mailFromText(text).attachments.reduce((sum, { content }) => sum + (content.size * 4) / 3, 0);
}

/** The draft as its author may look at it: opening it there counts nothing of the older mail that it quotes. */
async function shownDraft(deps: KeepDraftDeps, grant: Grant, draft: DueDraft): Promise<DraftCopy['version']> {
  const mail = mailFromText(draft.text);
  const from = mail.from ?? { email: grant.email, ...(grant.name !== '' && { name: grant.name }) };
  const messageId = messageIdHeader(`${draft.id}.${draft.version}`, from.email);
  const body = mail.isPlaintext ? mail.body : cleanBody(deps, grant.app, mail.body);
  const parts = {
    ...mail,
    from,
    messageId,
    body,
    date: draft.changedAt,
    ancestors: await ancestorsOf(deps, grant, mail),
  };
  return { messageId, raw: await compose(parts, blobReader(deps.sql, grant.app)) };
}

/** None where what it answers has gone since. */
async function ancestorsOf(
  deps: KeepDraftDeps,
  grant: Grant,
  { replyToMessageId }: { readonly replyToMessageId: string },
): Promise<readonly string[]> {
  try {
    return (await answeredThread(deps, grant, replyToMessageId)).ancestors;
  } catch (error) {
    if (error instanceof ApiError) return [];
    throw error;
  }
}
