// Journey 3: a page of mail that was found in a mailbox, until what it means is committed.
import type { Sql } from '../db/pool.ts';
import type { Grant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import { type Log, withoutAddresses } from '../log.ts';
import type { FoundMail } from '../providers/watch.ts';
import { openMessages } from '../tracking/threads.ts';
import type { TokenKeys } from '../tracking/token.ts';
import type { AnswerClass } from './answer-class.ts';
import { type Answer, findAnswers } from './answers.ts';
import { conversationsOf } from './conversation.ts';
import type { Portion } from './leases.ts';
import type { BodyCleaner } from './mail-detail.ts';
import { ownMessages } from './match.ts';
import type { SyncRun } from './pages.ts';
import { receivedTime } from './received-time.ts';
import { recordPage } from './record.ts';
import { type Arrived, tellOfMail } from './told-mail.ts';

export interface SyncDeps {
  readonly sql: Sql;
  readonly keys: TokenKeys;
  readonly log: Pick<Log, 'info'>;
  /** Told once facts lie in the outbox. */
  readonly onFacts: () => void;
  /** Whether mail that arrives is told of in this application. */
  readonly tellsOfMail: (app: number) => Promise<boolean>;
  /** What takes our own pixels and links out of a body: whoever shows what is told must not be counted. */
  readonly cleaner: (app: number) => BodyCleaner;
  readonly counts: AnswerCounts;
}

/** What was recorded, by class: plain numbers, only ever moved here. */
export type AnswerCounts = Record<AnswerClass, number>;

export function noAnswers(): AnswerCounts {
  return { reply: 0, self: 0, auto_reply: 0, bounce: 0, other: 0 };
}

export interface PageResult {
  readonly mails: number;
  /** The classes of what was recorded of them. */
  readonly classes: readonly AnswerClass[];
}

/**
 * Once it resolves the page is dealt with and its cursor kept; it may be called again for the same page at any time.
 * Throws `LeaseLost`, `WatchBroken`, and what the database throws.
 */
export async function syncPage(deps: SyncDeps, run: SyncRun, page: Portion): Promise<PageResult> {
  const { sql } = deps;
  const { grant, settings } = run;
  const mails = page.mails.map(dated);
  if (mails.length === 0) {
    await recordPage(sql, run, { answers: [], ownIds: new Map(), threadKeys: [] }, page);
    return { mails: 0, classes: [] };
  }
  const where = { app: grant.app, grantId: grant.id };
  const own = await ownMessages(sql, where, mails);
  const open = await openMessages(sql, grant.app, grant.id, settings.replyWatchDays);
  const answers = (await findAnswers(deps, { grant, mailbox: run.mailbox, own, open }, mails)).sort(
    (a, b) => a.mail.receivedAt.getTime() - b.mail.receivedAt.getTime(),
  );

  const arrived = mails.filter((mail) => mail.isNew && !mail.isSent && !own.has(mail));
  const told = arrived.length > 0 && (await deps.tellsOfMail(grant.app));
  const reading = { ...run, clean: deps.cleaner(grant.app) };
  if (told) await tellOfMail(deps, reading, await withThreads(sql, grant, arrived, answers));

  const ownIds = new Map([...own].map(([mail, { id }]) => [mail, id]));
  // Of its copy in Sent alone: anybody may write our Message-ID above a mail.
  const threadKeys = [...own].flatMap(([{ isSent, threadKey }, row]) =>
    isSent && threadKey !== null && row.threadKey === null ? [{ id: row.id, key: threadKey }] : [],
  );
  const recorded = await recordPage(sql, run, { answers, ownIds, threadKeys }, page);
  if (recorded.told) deps.onFacts();
  for (const answer of recorded.answers) {
    deps.counts[answer.class] += 1;
    logAnswer(deps.log, grant, answer);
  }
  return { mails: mails.length, classes: recorded.answers.map((answer) => answer.class) };
}

function dated(mail: FoundMail): FoundMail {
  const receivedAt = receivedTime(mail.receivedAt);
  return receivedAt === mail.receivedAt ? mail : { ...mail, receivedAt };
}

async function withThreads(
  sql: Sql,
  grant: Grant,
  mails: readonly FoundMail[],
  answers: readonly Answer[],
): Promise<Arrived[]> {
  const known = new Map(answers.map(({ mail, match }) => [mail, match.root.threadId]));
  const conversations = await conversationsOf(
    sql,
    grant,
    mails.filter((mail) => !known.has(mail)),
  );
  const threads = new Map([...known, ...conversations]);
  return mails.flatMap((mail) => {
    const threadId = threads.get(mail);
    return threadId === undefined ? [] : [{ mail, threadId }];
  });
}

function logAnswer(log: SyncDeps['log'], grant: Grant, { mail, match, ...answer }: Answer): void {
  log.info(
    {
      app: grant.app,
      grant: grant.id,
      root: wireId('msg', match.root.id),
      class: answer.class,
      reasons: answer.reasons,
      folder: withoutAddresses(mail.folder),
      ms: Date.now() - mail.receivedAt.getTime(),
    },
    'reply.found',
  );
}
