// What a page of mail comes to: one transaction, from the proof of the lease to the cursor.
import { emit } from '../db/outbox.ts';
import { ensurePartitions } from '../db/partitions.ts';
import type { Sql, Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { type Grant, wireProvider } from '../grants/grants.ts';
import type { TrackingSettings } from '../grants/settings.ts';
import { uuidv7, wireId } from '../ids.ts';
import { bounceFact } from '../tracking/bounce-facts.ts';
import { type Occurrence, record } from '../tracking/events.ts';
import { failureOf } from '../tracking/failure.ts';
import { keepMailboxOpen } from '../tracking/open-mailboxes.ts';
import { replyDetail } from '../tracking/reply-facts.ts';
import { keepThreadKey, type TrackedRow, touchThreads } from '../tracking/threads.ts';
import { ANSWER_CLASSES, type AnswerClass } from './answer-class.ts';
import type { Answer } from './answers.ts';
import { oneOfEach } from './copies.ts';
import { fence, type Lease, type Portion, saveCursor } from './leases.ts';
import { markOf } from './mark.ts';
import { keepReceived } from './received.ts';

export interface PageFindings {
  /** In the order in which they were received. */
  readonly answers: readonly Answer[];
  /** Ids that answers have as messages of ours. */
  readonly ownIds: ReadonlyMap<Answer['mail'], string>;
  /** Of messages of ours that were found in the mailbox: what the provider calls their threads. */
  readonly threadKeys: readonly { readonly id: string; readonly key: string }[];
}

export interface Recorded {
  /** What was not recorded before. */
  readonly answers: readonly Answer[];
  /** Facts lie in the outbox. */
  readonly told: boolean;
}

const DAY_MS = 86_400_000;
const NO_PARTITION = '23514';
let preparedDay = 0;

/** Throws `LeaseLost` where another node has the mailbox by now; then nothing was written. */
export async function recordPage(
  sql: Sql,
  run: { readonly lease: Lease; readonly grant: Grant; readonly settings: TrackingSettings },
  findings: PageFindings,
  after: Pick<Portion, 'cursor' | 'isLast'>,
): Promise<Recorded> {
  if (findings.answers.length > 0) await preparePartitions(sql);
  const work = async (tx: Tx): Promise<Recorded> => {
    await fence(tx, run.lease);
    const recorded = await recordAnswers(tx, run, findings);
    for (const { id, key } of findings.threadKeys) await keepThreadKey(tx, run.grant.app, id, key);
    await saveCursor(tx, run.lease, after.cursor, after.isLast);
    return recorded;
  };
  try {
    return await transaction(sql, work);
  } catch (error) {
    if (failureOf(error).code === NO_PARTITION) preparedDay = 0; // dropped since, or this is another database by now
    throw error;
  }
}

async function preparePartitions(sql: Sql): Promise<void> {
  const day = Math.floor(Date.now() / DAY_MS);
  if (day === preparedDay) return;
  await ensurePartitions(sql, Date.now(), 1, ['events']);
  preparedDay = day;
}

type Run = Parameters<typeof recordPage>[1];

async function recordAnswers(tx: Tx, { grant, settings }: Run, { answers, ownIds }: PageFindings): Promise<Recorded> {
  if (answers.length === 0) return { answers: [], told: false };
  const judged = inTheirWindows(oneOfEach(answers), settings.replyWatchDays);
  const ids = await keepReceived(
    tx,
    grant.app,
    grant.id,
    judged.map(({ answer: { mail, match, ...answer }, reasons }) => ({
      mark: markOf(mail),
      id: ownIds.get(mail) ?? null,
      threadId: match.root.threadId,
      messageId: mail.head.messageId ?? '',
      rootId: match.root.id,
      class: answer.class,
      reasons,
      place: mail.place,
      receivedAt: mail.receivedAt,
    })),
    ANSWER_CLASSES.filter((kind) => !tells(kind, settings)),
  );
  const fresh = judged.flatMap((each) => {
    const id = ids.get(markOf(each.answer.mail).toString('hex'));
    return id === undefined ? [] : [{ ...each, id }];
  });
  const result = await record(
    tx,
    fresh.map(({ answer, at, reasons, isOpen, id }) => {
      const { parent, parentMail } = answer.match;
      const parentId = parentMail === null ? parent?.id : ids.get(markOf(parentMail).toString('hex'));
      const counts = isOpen && tells(answer.class, settings);
      return occurrenceOf(grant, answer, { id, at, parentId: parentId ?? null, reasons, counts });
    }),
  );
  const bounces = fresh.flatMap(({ answer, at, isOpen }) => (isOpen ? (bounceOf(grant, answer, at) ?? []) : []));
  await emit(tx, bounces);
  const written = fresh.filter(({ answer, isOpen }) => isOpen && isWritten(answer.class));
  await touchThreads(
    tx,
    grant.app,
    written.map(({ answer, at }) => ({ id: answer.match.root.id, at })),
  );
  if (written.length > 0) await keepMailboxOpen(tx, grant.app, grant.id);
  return { answers: fresh.map(({ answer }) => answer), told: result.counted + bounces.length > 0 };
}

interface Judged {
  readonly answer: Answer;
  /** When it came. */
  readonly at: Date;
  readonly reasons: readonly string[];
  /** Its thread was written in within the window before. */
  readonly isOpen: boolean;
}

/** Each answer keeps its thread open for those that follow. */
function inTheirWindows(answers: readonly Answer[], days: number): Judged[] {
  const lastAt = new Map<string, number>();
  const now = new Date();
  return answers.map((answer) => {
    const { root } = answer.match;
    const at = withinReach(answer.mail.receivedAt, root, now);
    const last = lastAt.get(root.id) ?? root.lastAt.getTime();
    const isOpen = at.getTime() <= last + days * DAY_MS;
    if (isOpen && isWritten(answer.class)) lastAt.set(root.id, Math.max(last, at.getTime()));
    return { answer, at, reasons: isOpen ? answer.reasons : [...answer.reasons, 'closed'], isOpen };
  });
}

/** A time to come, or long before there was anything to answer, as mail has that was carried over, is now. */
function withinReach(at: Date, { createdAt }: TrackedRow, now: Date): Date {
  return at <= now && at.getTime() >= createdAt.getTime() - DAY_MS ? at : now;
}

/** Somebody has written in the thread, or let his program do so; reports keep nothing open. */
function isWritten(kind: AnswerClass): boolean {
  return kind !== 'bounce' && kind !== 'other';
}

/** Contract D16. */
function tells(kind: AnswerClass, settings: TrackingSettings): boolean {
  if (kind === 'reply') return true;
  if (kind === 'self') return settings.notifySelfReplies;
  return kind === 'auto_reply' && settings.notifyAutoReplies;
}

interface Told {
  readonly id: string;
  readonly at: Date;
  /** Of what it answers itself. */
  readonly parentId: string | null;
  readonly reasons: readonly string[];
  readonly counts: boolean;
}

function occurrenceOf(
  grant: Grant,
  { match, class: kind }: Answer,
  { id, at, parentId, reasons, counts }: Told,
): Occurrence {
  return {
    id: uuidv7(),
    otherId: null,
    app: grant.app,
    grant: grant.serial,
    message: match.root.id,
    trigger: 'thread.replied',
    link: null,
    at,
    ip: '',
    userAgent: '',
    class: kind,
    reasons,
    counts,
    detail: replyDetail({
      messageId: wireId('msg', id),
      replyToMessageId: parentId === null ? null : wireId('msg', parentId),
      threadId: match.root.threadId,
      fromSelf: kind === 'self',
      autoReply: kind === 'auto_reply',
    }),
  };
}

function bounceOf(
  grant: Grant,
  { match, class: kind, bounce }: Answer,
  happenedAt: Date,
): ReturnType<typeof bounceFact> | null {
  const { root } = match;
  if (kind !== 'bounce' || bounce === null || bounce.permanent !== true) return null;
  if (match.parent !== null && match.parent.id !== root.id) return null; // of a message in its thread that is not tracked
  const { original, recipients } = bounce;
  return bounceFact({
    app: grant.app,
    messageId: root.id,
    happenedAt,
    provider: wireProvider(grant.provider),
    reason: bounce.reason,
    type: bounce.type,
    code: bounce.code,
    bouncedAt: Math.floor(happenedAt.getTime() / 1000),
    addresses: recipients,
    origin: {
      from: grant.email,
      to: original.to.length > 0 ? original.to : recipients,
      cc: original.cc,
      bcc: [],
      subject: root.subject,
      mimeId: bare(root),
      sentAt: Math.floor(root.createdAt.getTime() / 1000),
    },
  });
}

function bare({ messageId }: TrackedRow): string {
  return messageId.replace(/^<|>$/g, '');
}
