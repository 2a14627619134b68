// Sending a draft. It names the message it is sent as before anything leaves, and from then on that message's state says
// what became of it: one that failed leaves a draft, and of several calls one sends.
import type { Sql, Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { invalid } from '../errors.ts';
import { type Grant, requireValid } from '../grants/grants.ts';
import type { Sender } from '../grants/senders.ts';
import { uuidv7, wireId } from '../ids.ts';
import { messageById, refusedReservation, reserveAll, settleAll } from '../tracking/messages.ts';
import { telling } from '../tracking/send-facts.ts';
import { messageIdHeader } from './compose.ts';
import { busyDraftRefusal, unknownDraftRefusal } from './draft-refusals.ts';
import { type Draft, type LockedDraft, lockDraft } from './draft-rows.ts';
import { type SendDeps, type Sent, send } from './send.ts';

/** From the moment a draft names its message until that is written: longer than composing 25 MB takes. */
const RESERVED_WITHIN_MS = 60_000;

export interface SentDraft {
  readonly draft: Draft;
  readonly sent: Sent;
}

/**
 * Throws as `send` does; the draft is one again then, unless it may have been sent. `id`: as of `send`. A call that had
 * died is gone on with under its id.
 */
export async function sendDraft(
  deps: SendDeps,
  sender: Sender,
  draftId: string,
  { id: given }: { readonly id?: string | undefined } = {},
): Promise<SentDraft> {
  const { sql, log } = deps;
  const { grant } = sender;
  requireValid(grant);
  const message = given ?? uuidv7();
  const draft = await changingDraft(sql, (tx) => claimForSending(tx, grant, draftId, message));
  const names = { app: grant.app, grant: grant.id, draft: wireId('dft', draftId) };
  try {
    const sent = await send(deps, sender, draft.mail, { id: message, threadId: draft.threadId });
    // Where this fails the timer of the draft finds out by itself, as after a crash.
    await endDraft(sql, grant, draftId).catch((err: unknown) => log.warn({ ...names, err }, 'draft.not_ended'));
    return { draft, sent };
  } catch (error) {
    const isShared = given !== undefined;
    await release(sql, grant, draftId, { message, isShared }).catch((err: unknown) =>
      log.warn({ ...names, err }, 'draft.not_released'),
    );
    throw error;
  }
}

/** A transaction that changes a draft, perhaps after a send of it that seemed to have died and had not. */
export async function changingDraft<T>(sql: Sql, work: (tx: Tx) => Promise<T>): Promise<T> {
  try {
    return await transaction(sql, work);
  } catch (error) {
    throw refusedReservation(error) === 'taken' ? busyDraftRefusal('sending') : error;
  }
}

/** Makes sure that a message that was not written in time never will be: whoever comes late finds its id taken. */
export async function abandonSend(tx: Tx, { app, id: grantId, email }: Grant, draft: LockedDraft): Promise<void> {
  const { messageId: id, threadId, mail } = draft;
  if (id === null) return;
  const untracked = { opens: false, links: false, threadReplies: false, label: '' };
  const message = { app, id, grantId, ...untracked, messageId: messageIdHeader(id, email), threadId, ancestors: [] };
  await reserveAll(tx, [{ message: { ...message, subject: mail.subject, metadata: {} }, links: [] }]);
  const error = { kind: 'abandoned', reason: 'the process ended before handing the mail over' };
  await settleAll(tx, [{ app, id, result: { state: 'failed', error }, telling: telling(false, null, null) }]);
}

/** It was sent: it leaves the lists at once, and its mailbox a little later. */
export async function endDraft(sql: Sql, { app }: Pick<Grant, 'app'>, id: string): Promise<void> {
  await sql`update drafts set deleted = true, keep_at = now() where app = ${app} and id = ${id}`;
}

async function claimForSending(tx: Tx, grant: Grant, id: string, message: string): Promise<Draft> {
  const draft = await lockDraft(tx, grant, id);
  if (draft === null) throw unknownDraftRefusal(id);
  const { standing, messageId } = draft;
  if (standing === 'unknown') throw busyDraftRefusal(standing);
  // The same call again, of which one can write the message.
  const isSame = messageId === message;
  if (standing === 'sending' && !isSame) throw busyDraftRefusal(standing);
  if (standing === 'abandoned' && !isSame) await abandonSend(tx, grant, draft);
  if (draft.mail.to.length === 0) throw invalid('to', 'must not be empty: a draft is sent to somebody');
  await tx`
    update drafts set message_id = ${message}, keep_at = now() + ${RESERVED_WITHIN_MS}::float8 * interval '1 millisecond'
    where app = ${grant.app} and id = ${id}`;
  return draft;
}

/**
 * After a send that threw, and therefore writes no message any more. Where others may try under the same id, one of them
 * may be about to: it finds the id taken.
 */
async function release(
  sql: Sql,
  grant: Grant,
  id: string,
  { message, isShared }: { readonly message: string; readonly isShared: boolean },
): Promise<void> {
  const { app } = grant;
  if (isShared) {
    await changingDraft(sql, async (tx) => {
      const draft = await lockDraft(tx, grant, id);
      const isOurs = draft?.messageId === message && (await messageById(tx, app, message)) === null;
      if (draft !== null && isOurs) await abandonSend(tx, grant, draft);
    });
  }
  await sql`
    update drafts d set message_id = case when m.state is not null then d.message_id end,
      keep_at = case
        when m.state in ('sending', 'unknown') then d.keep_at
        when m.state = 'sent' or d.kept_version <> d.version then now() end
    from (select (select state from messages where app = ${app} and id = ${message}) as state) m
    where d.app = ${app} and d.id = ${id} and d.message_id = ${message} and not d.deleted`;
}
