// Mails that wait for their author to send them. The table is the truth; the mailbox's Drafts folder follows it.
import type postgres from 'postgres';
import { dropBlobs, holdBlobs } from '../db/blobs.ts';
import type { Query, Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { invalid } from '../errors.ts';
import { type Grant, requireValid } from '../grants/grants.ts';
import type { Sender } from '../grants/senders.ts';
import { uuidv7, wireId } from '../ids.ts';
import { type AnsweredThreadDeps, answeredThread } from './answered-thread.ts';
import { checkTracking } from './checks.ts';
import { busyDraftRefusal, unknownDraftRefusal } from './draft-refusals.ts';
import { type Draft, findDraft, type LockedDraft, lockDraft } from './draft-rows.ts';
import { abandonSend, changingDraft } from './draft-sending.ts';
import type { Outgoing, Tracking } from './outgoing.ts';
import { tooLargeRefusal } from './refusals.ts';
import { blobsOf, mailToText, type StoredOutgoing, withStoredAttachments } from './stored-mail.ts';

/** What is given replaces what was there; of the tracking options each by itself. */
export interface DraftChange {
  readonly mail: Partial<Omit<Outgoing, 'tracking'>> & { readonly tracking?: Partial<Tracking> };
  readonly starred?: boolean | undefined;
}

const MOST_DRAFTS = 10_000;
const MB = 1024 * 1024;
/** As much as a request may bring. */
const MOST_MB = 25;

/** For the mailbox, which is made like the table when an author pauses: in milliseconds. */
const PAUSE_MS = 2_000;
/** An author who never pauses is not waited for longer than so many changes. */
const MOST_UNKEPT = 15;

/** Throws the refusal as an `ApiError`. */
export async function createDraft(
  deps: AnsweredThreadDeps,
  sender: Sender,
  mail: Outgoing,
  { starred }: Pick<Draft, 'starred'>,
): Promise<Draft> {
  const { sql } = deps;
  const { grant } = sender;
  requireValid(grant);
  checkDraft(sender, mail);
  if ((await countDrafts(sql, grant)) >= MOST_DRAFTS) {
    throw invalid('the grant', `has ${MOST_DRAFTS} drafts already: delete some of them first`);
  }
  const thread = await answeredThread(deps, grant, mail.replyToMessageId);
  const stored = await withStoredAttachments(sql, grant.app, mail);
  const id = uuidv7();
  const threadId = thread.id ?? wireId('thr', id);
  return await transaction(sql, async (tx) => {
    const { subject, recipients, metadata, attached } = searchedOf(tx, stored);
    const [row] = await tx<{ at: Date }[]>`
      insert into drafts (app, id, grant_id, thread_id, mail, subject, recipients, metadata, starred, attached, keep_at)
      values (${grant.app}, ${id}, ${grant.id}, ${threadId}, ${mailToText(stored)}, ${subject}, ${recipients},
        ${metadata}, ${starred}, ${attached}, now() + ${PAUSE_MS}::float8 * interval '1 millisecond')
      returning created_at as at`;
    await hold(tx, grant, blobsOf(stored));
    const at = row?.at ?? new Date();
    return { id, threadId, mail: stored, starred, createdAt: at, changedAt: at };
  });
}

/** Changes that come at once come one after the other. Throws the refusal as an `ApiError`. */
export async function updateDraft(
  deps: AnsweredThreadDeps,
  sender: Sender,
  id: string,
  change: DraftChange,
): Promise<Draft> {
  const { sql } = deps;
  const { grant } = sender;
  requireValid(grant);
  const known = await findDraft(sql, grant, id);
  if (known === null) throw unknownDraftRefusal(id);
  checkDraft(sender, merged(known.mail, change));
  const { replyToMessageId } = change.mail;
  const thread = replyToMessageId === undefined ? null : await answeredThread(deps, grant, replyToMessageId);
  const { attachments } = change.mail;
  const stored =
    attachments && (await withStoredAttachments(sql, grant.app, { ...known.mail, attachments })).attachments;
  return await changingDraft(sql, async (tx) => {
    const draft = await lockChangeable(tx, grant, id);
    const mail = { ...merged(draft.mail, change), attachments: stored ?? draft.mail.attachments };
    checkDraft(sender, mail);
    const threadId = thread === null ? draft.threadId : (thread.id ?? wireId('thr', id));
    const starred = change.starred ?? draft.starred;
    const text = mailToText(mail);
    const { subject, recipients, metadata, attached } = searchedOf(tx, mail);
    const isSame = text === draft.text;
    const [row] = await tx<{ at: Date }[]>`
      update drafts set thread_id = ${threadId}, mail = ${text}, subject = ${subject}, recipients = ${recipients},
        metadata = ${metadata}, starred = ${starred}, attached = ${attached}, message_id = null,
        version = version + ${isSame ? 0 : 1}, updated_at = clock_timestamp(),
        keep_at = ${isSame ? tx`case when version = kept_version then null else coalesce(keep_at, now()) end` : dueAt(tx)}
      where app = ${grant.app} and id = ${id} returning updated_at as at`;
    const [before, now] = [blobsOf(draft.mail), blobsOf(mail)];
    await hold(
      tx,
      grant,
      now.filter((blob) => !before.includes(blob)),
    );
    await dropBlobs(
      tx,
      grant.app,
      before.filter((blob) => !now.includes(blob)),
    );
    return { id, threadId, mail, starred, createdAt: draft.createdAt, changedAt: row?.at ?? draft.changedAt };
  });
}

/** It leaves the mailbox, too, a little later. Throws the refusal as an `ApiError`. */
export async function deleteDraft({ sql }: AnsweredThreadDeps, grant: Grant, id: string): Promise<void> {
  requireValid(grant);
  await changingDraft(sql, async (tx) => {
    await lockChangeable(tx, grant, id, 'also unknown');
    await tx`
      update drafts set deleted = true, updated_at = clock_timestamp(), keep_at = ${restOr(tx, tx`now()`)}
      where app = ${grant.app} and id = ${id}`;
  });
}

async function lockChangeable(
  tx: Tx,
  grant: Grant,
  id: string,
  which: 'open' | 'also unknown' = 'open',
): Promise<LockedDraft> {
  const draft = await lockDraft(tx, grant, id);
  if (draft === null) throw unknownDraftRefusal(id);
  const { standing } = draft;
  if (standing === 'sending' || (standing === 'unknown' && which === 'open')) throw busyDraftRefusal(standing);
  if (standing === 'abandoned') await abandonSend(tx, grant, draft);
  return draft;
}

/** Fewer than there are where they are too many. */
async function countDrafts(sql: Query, { app, id: grantId }: Grant): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::integer as count
    from (select from drafts where app = ${app} and grant_id = ${grantId} limit ${MOST_DRAFTS}) counted`;
  return row?.count ?? 0;
}

/** D5 and D6, and what a send would not take. */
function checkDraft(sender: Sender, mail: Outgoing): void {
  checkTracking(sender, mail);
  const { tracking, metadata, customHeaders, replyToMessageId, attachments, body } = mail;
  if ([tracking.label, ...Object.entries(metadata).flat()].some((text) => text.includes('\0'))) {
    throw tooLargeRefusal(tracking, 'the draft', 'has a label or metadata that cannot be stored.');
  }
  if (replyToMessageId !== '' && customHeaders.some(({ name }) => /^(in-reply-to|references)$/i.test(name))) {
    throw invalid('custom_headers', 'must not have In-Reply-To or References together with reply_to_message_id');
  }
  const bytes = attachments.reduce((sum, { content }) => sum + sizeOfContent(content), Buffer.byteLength(body));
  if (bytes > MOST_MB * MB) throw invalid('attachments', `must have at most ${MOST_MB} MB together with the body`);
}

function sizeOfContent(content: Outgoing['attachments'][number]['content']): number {
  return Buffer.isBuffer(content) ? content.length : content.size;
}

function merged(mail: StoredOutgoing, { mail: given }: DraftChange): Outgoing {
  return { ...mail, ...given, tracking: { ...mail.tracking, ...given.tracking } };
}

/** What drafts are found by. */
function searchedOf(tx: Tx, mail: StoredOutgoing) {
  const addresses = (people: Outgoing['to']): string[] => people.map(({ email }) => email.toLowerCase().toWellFormed());
  return {
    subject: mail.subject.toLowerCase().toWellFormed(), // here: a database of locale C knows ASCII alone
    recipients: tx.json({ to: addresses(mail.to), cc: addresses(mail.cc), bcc: addresses(mail.bcc) }),
    metadata: tx.json(
      Object.fromEntries(
        Object.entries(mail.metadata).map(([key, value]) => [key.toWellFormed(), value.toWellFormed()]),
      ),
    ),
    attached: mail.attachments.length > 0,
  };
}

async function hold(tx: Tx, { app }: Grant, blobs: readonly string[]): Promise<void> {
  if (!(await holdBlobs(tx, app, blobs))) throw new Error('an attachment has gone before its draft was written');
}

type Fragment = postgres.PendingQuery<postgres.Row[]>;

/** When a draft is due whose content has changed. */
function dueAt(tx: Tx): Fragment {
  const paused = tx`now() + ${PAUSE_MS}::float8 * interval '1 millisecond'`;
  const isLong = tx`keep_at is not null and version - kept_version >= ${MOST_UNKEPT}`;
  return restOr(tx, tx`case when ${isLong} then keep_at else ${paused} end`);
}

/** A mailbox that could not be used is left alone until it is due. */
function restOr(tx: Tx, due: Fragment): Fragment {
  return tx`case when keep_attempts > 0 and keep_at > now() then keep_at else ${due} end`;
}
