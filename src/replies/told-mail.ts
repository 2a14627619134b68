// Mail that arrived in a watched mailbox, told as `message.created` while somebody subscribes to that.
import { emit } from '../db/outbox.ts';
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { type Grant, wireProvider } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import type { FoundMail, MailContent, WatchedMailbox } from '../providers/watch.ts';
import { mailFact } from '../tracking/mail-facts.ts';
import { fence, type Lease } from './leases.ts';
import { type BodyCleaner, mailDetail } from './mail-detail.ts';
import { markOf } from './mark.ts';
import { keepReceived, knownMarks } from './received.ts';

export interface ToldMailDeps {
  readonly sql: Sql;
  /** Told once facts lie in the outbox. */
  readonly onFacts: () => void;
}

export interface ToldMailRun {
  readonly lease: Lease;
  readonly grant: Grant;
  readonly mailbox: Pick<WatchedMailbox, 'read'>;
  readonly clean: BodyCleaner;
}

/** So many mails, or characters of their bodies, are told together: a slow mailbox may not come to the end of a page. */
const MAILS_AT_ONCE = 20;
const CHARACTERS_AT_ONCE = 2_000_000;
const BELIEVED_MS = 1000;

/**
 * Whether a destination of an application takes `message.created`. That one does is believed for a second; that none does
 * is asked each time, as what arrives just after somebody subscribes must be told.
 */
export function createdSubscriptions(sql: Sql): (app: number) => Promise<boolean> {
  const subscribed = new Map<number, number>();
  return async (app) => {
    const until = subscribed.get(app);
    if (until !== undefined && performance.now() < until) return true;
    const isOne = await isSubscribed(sql, app);
    if (isOne) subscribed.set(app, performance.now() + BELIEVED_MS);
    return isOne;
  };
}

async function isSubscribed(sql: Sql, app: number): Promise<boolean> {
  const rows = await sql`
    select from destinations where app = ${app} and 'message.created' = any(triggers) limit 1`;
  return rows.length > 0;
}

export interface Arrived {
  readonly mail: FoundMail;
  /** Of its thread, as the wire has it. */
  readonly threadId: string;
}

/**
 * Tells of each mail once, however often it is found. Each batch is committed by itself, before the cursor moves: what
 * was told is known when the page is read again.
 */
export async function tellOfMail(
  { sql, onFacts }: ToldMailDeps,
  run: ToldMailRun,
  arrived: readonly Arrived[],
): Promise<void> {
  const { app, id: grantId } = run.grant;
  const known = await knownMarks(
    sql,
    app,
    grantId,
    arrived.map(({ mail }) => markOf(mail)),
  );
  let batch: Read[] = [];
  let characters = 0;
  const commit = async (): Promise<void> => {
    if (batch.length > 0 && (await tellAll(sql, run, batch))) onFacts();
    batch = [];
    characters = 0;
  };
  for (const { mail, threadId } of arrived) {
    if (known.has(markOf(mail).toString('hex'))) continue;
    const content = await run.mailbox.read(mail.place);
    if (content === null) continue; // gone again
    batch.push({ mail, threadId, content });
    characters += (content.html?.length ?? 0) + (content.text?.length ?? 0);
    if (batch.length >= MAILS_AT_ONCE || characters > CHARACTERS_AT_ONCE) await commit();
  }
  await commit();
}

interface Read extends Arrived {
  readonly content: MailContent;
}

async function tellAll(sql: Sql, { lease, grant, clean }: ToldMailRun, batch: readonly Read[]): Promise<boolean> {
  return await transaction(sql, async (tx) => {
    await fence(tx, lease);
    const ids = await keepReceived(
      tx,
      grant.app,
      grant.id,
      batch.map(({ mail, threadId }) => ({
        mark: markOf(mail),
        id: null,
        threadId,
        messageId: mail.head.messageId ?? '',
        rootId: null,
        class: 'unrelated',
        reasons: [],
        place: mail.place,
        receivedAt: mail.receivedAt,
      })),
    );
    const left = new Map(ids);
    const facts = batch.flatMap(({ mail, threadId, content }) => {
      const mark = markOf(mail).toString('hex');
      const id = left.get(mark);
      if (id === undefined) return [];
      left.delete(mark);
      const names = { id: wireId('msg', id), threadId, provider: wireProvider(grant.provider), clean };
      const detail = mailDetail(content, names);
      return [mailFact({ ...detail, app: grant.app, grantId: grant.id, happenedAt: new Date() })];
    });
    await emit(tx, facts);
    return facts.length > 0;
  });
}
