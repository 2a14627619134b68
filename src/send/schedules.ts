import { randomUUID } from 'node:crypto';
import { dropBlobs, holdBlobs } from '../db/blobs.ts';
import type { Query, Sql, Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { ApiError, invalid } from '../errors.ts';
import type { Sender } from '../grants/senders.ts';
import { isUuid, uuidv7 } from '../ids.ts';
import { type MessageState, refusedReservation, reserveAll } from '../tracking/messages.ts';
import { cancel } from '../tracking/scheduled-messages.ts';
import type { ToldMail } from '../tracking/send-facts.ts';
import { sendingMailbox, toldOf } from './letter.ts';
import type { Outgoing } from './outgoing.ts';
import { prepare } from './prepare.ts';
import { takenRefusal, tooLargeRefusal } from './refusals.ts';
import type { SendDeps, Sent } from './send.ts';
import { blobsOf, mailFromText, mailToText, withStoredAttachments } from './stored-mail.ts';

/** A mail that leaves at a time. */
export interface Schedule {
  /** UUID; the wire id as it is. */
  readonly id: string;
  /** UUIDv7 of the message. */
  readonly messageId: string;
  readonly sendAt: Date;
  readonly state: MessageState;
  /** Why it was not sent, for people; null while it may be, or was. */
  readonly reason: string | null;
  /** When it came to rest. */
  readonly closedAt: Date | null;
}

/** What `send` gives of a mail, as far as it is known before it leaves. */
export interface ScheduledMail extends Omit<Sent, 'raw'> {
  readonly scheduleId: string;
}

/** In one mailbox at once. */
const MOST_WAITING = 50_000;
/** How long a schedule is shown after it came to rest (contract 5.5). */
export const SHOWN_HOURS = 72;
/** Longer than a mail that may have gone out is looked for: nobody needs what it was to send any more. */
const GIVEN_UP_HOURS = 48;

/**
 * Writes a mail down that is to leave at `sendAt`, tracked as things are now. Whatever would keep it from being sent now is
 * thrown as an `ApiError`, and nothing is stored. `id`: as for `send`.
 */
export async function schedule(
  deps: SendDeps,
  sender: Sender,
  mail: Outgoing,
  { sendAt, id: given }: { readonly sendAt: Date; readonly id?: string | undefined },
): Promise<ScheduledMail> {
  const { grant } = sender;
  const date = deps.now?.() ?? new Date();
  const id = given ?? uuidv7(date.getTime());
  const { letter, threadId, tracking, warnings, reservation } = await prepare(deps, sender, mail, { id, date });
  sendingMailbox(deps, sender);
  const stored = await withStoredAttachments(deps.sql, grant.app, { ...mail, from: letter.from });
  const scheduleId = randomUUID();
  try {
    await transaction(deps.sql, async (tx) => {
      await reserveAll(tx, [reservation], 'scheduled');
      const [added] = await tx`
        insert into schedules (app, id, grant_id, message_id, send_at, next_try_at, mail, tracked_body,
          attachments)
        select ${grant.app}, ${scheduleId}, ${grant.id}, ${letter.id}, ${sendAt}, ${sendAt}, ${mailToText(stored)},
          ${letter.body === mail.body ? null : letter.body}, ${blobsOf(stored)}::uuid[]
        where ${MOST_WAITING} > (
          select count(*) from schedules
          where app = ${grant.app} and grant_id = ${grant.id} and send_at > now() and mail is not null)
        returning id`;
      if (added === undefined) {
        throw invalid('send_at', `is not possible now: ${MOST_WAITING} messages of this grant are scheduled already`);
      }
      if (!(await holdBlobs(tx, grant.app, blobsOf(stored)))) throw new Error('an attachment has gone meanwhile');
    });
  } catch (error) {
    throw refusalOf(error, mail);
  }
  return { id, threadId, date, from: letter.from, tracking, warnings, scheduleId };
}

function refusalOf(error: unknown, mail: Outgoing): unknown {
  if (error instanceof ApiError) return error;
  const refused = refusedReservation(error);
  if (refused === 'taken') return takenRefusal();
  if (refused === null) return error;
  return tooLargeRefusal(mail.tracking, 'the message', 'has a label, metadata or a link that cannot be stored.');
}

/** Of one grant, by their time; those that came to rest three days ago or longer are forgotten. */
export async function listSchedules(sql: Query, app: number, grantId: string): Promise<Schedule[]> {
  return await read(sql, sql`s.app = ${app} and s.grant_id = ${grantId}`);
}

export async function findSchedule(sql: Query, app: number, grantId: string, id: string): Promise<Schedule | null> {
  if (!isUuid(id)) return null;
  const [found] = await read(sql, sql`s.app = ${app} and s.grant_id = ${grantId} and s.id = ${id}`);
  return found ?? null;
}

/** The one that a message leaves by. */
export async function scheduleOfMessage(sql: Query, app: number, messageId: string): Promise<Schedule | null> {
  const [found] = await read(sql, sql`s.app = ${app} and s.message_id = ${messageId}`);
  return found ?? null;
}

/** What is told of a mail that leaves by a schedule, while its row still has it; null for every other message. */
export async function scheduledTold(sql: Query, app: number, messageId: string): Promise<ToldMail | null> {
  const [row] = await sql<{ id: string; mail: string; sendAt: Date }[]>`
    select id, mail, send_at as "sendAt" from schedules
    where app = ${app} and message_id = ${messageId} and mail is not null`;
  if (row === undefined) return null;
  const mail = mailFromText(row.mail);
  return { ...toldOf(mail, mail.from ?? { email: '' }), ...scheduledOf(row) };
}

/** What is told of its schedule. */
export function scheduledOf({ id, sendAt }: Pick<Schedule, 'id' | 'sendAt'>): Pick<ToldMail, 'scheduleId' | 'sendAt'> {
  return { scheduleId: id, sendAt: Math.floor(sendAt.getTime() / 1000) };
}

/** It will not leave any more. False where it is being handed over, or came to rest before. */
export async function cancelSchedule(
  sql: Sql,
  app: number,
  { id, messageId }: Pick<Schedule, 'id' | 'messageId'>,
): Promise<boolean> {
  return await transaction(sql, async (tx) => {
    // The row's lock keeps a claim, which takes it first too, before or after but not beside us.
    await tx`select from schedules where app = ${app} and id = ${id} for update`;
    return (await cancelLocked(tx, [{ app, id, messageId }])) > 0;
  });
}

/** Those of deleted grants; returns how many. */
export async function cancelOrphans(sql: Sql, most: number): Promise<number> {
  return await transaction(sql, async (tx) => {
    const orphans = await tx<Locked[]>`
      select s.app, s.id, s.message_id as "messageId" from schedules s
      join grants g on g.app = s.app and g.id = s.grant_id
      where s.next_try_at is not null and g.state = 'deleted' limit ${most} for update of s skip locked`;
    return await cancelLocked(tx, orphans);
  });
}

interface Locked extends Pick<Schedule, 'id' | 'messageId'> {
  readonly app: number;
}

async function cancelLocked(tx: Tx, schedules: readonly Locked[]): Promise<number> {
  const messages = schedules.map(({ app, messageId }) => ({ app, id: messageId }));
  const cancelled = await cancel(tx, messages);
  const ours = schedules.filter(({ messageId }) => cancelled.has(messageId));
  const apps = ours.map(({ app }) => app);
  const ids = ours.map(({ id }) => id);
  return await close(tx, tx`select * from unnest(${apps}::integer[], ${ids}::uuid[]) as cancelled (app, id)`);
}

/** Erases what schedules were to send whose messages came to rest, or are not looked for any more; the oldest first. */
export async function closeRested(sql: Sql, most: number): Promise<number> {
  return await transaction(sql, (tx) =>
    close(
      tx,
      tx`
        select s.app, s.id from schedules s join messages m on m.app = s.app and m.id = s.message_id
        where s.mail is not null and s.next_try_at is null
          and (m.state in ('sent', 'failed', 'cancelled')
            or m.state = 'unknown' and (m.created_at < now() - ${GIVEN_UP_HOURS}::float8 * interval '1 hour'
              or exists (select from grants g where g.app = s.app and g.id = s.grant_id and g.state = 'deleted')))
        order by s.send_at limit ${most} for update of s skip locked`,
    ),
  );
}

/** Of the rows (app, id) of a query; returns how many. */
async function close(tx: Tx, rows: ReturnType<Query>): Promise<number> {
  const closed = await tx<{ app: number; attachments: string[] }[]>`
    update schedules s set mail = null, tracked_body = null, next_try_at = null, closed_at = coalesce(closed_at, now())
    from (${rows}) as rested where s.app = rested.app and s.id = rested.id
    returning s.app, s.attachments`;
  for (const { app, attachments } of closed) await dropBlobs(tx, app, attachments);
  return closed.length;
}

function read(sql: Query, where: ReturnType<Query>): Promise<Schedule[]> {
  return sql<Schedule[]>`
    select s.id, s.message_id as "messageId", s.send_at as "sendAt", m.state,
      case when m.state = 'failed' then m.error->>'reason' end as reason,
      case when m.state in ('sent', 'failed', 'cancelled') then coalesce(s.closed_at, m.state_at) end as "closedAt"
    from schedules s join messages m on m.app = s.app and m.id = s.message_id
    where ${where} and (s.closed_at is null or s.closed_at > now() - ${SHOWN_HOURS}::float8 * interval '1 hour')
    order by s.send_at, s.id`;
}
