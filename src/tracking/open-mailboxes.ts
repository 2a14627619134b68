// Mailboxes in which answers are waited for. An hour more or less is nothing against the days of a window: a row is written
// when it is an hour old, not with every mail of a mailbox that sends many.
import type postgres from 'postgres';
import type { Query } from '../db/pool.ts';

type Part = postgres.PendingQuery<postgres.Row[]>;

/** Opens those of the query's `settled` (app, grant_id, state, thread_replies) whose mail may be answered. */
export function openMailboxesOf(sql: Query): Part {
  return opening(
    sql,
    sql`select distinct app, grant_id from settled where thread_replies and state in ('sent', 'unknown')`,
  );
}

/** Keeps a mailbox open: something was written in one of its threads. */
export async function keepMailboxOpen(sql: Query, app: number, grantId: string): Promise<void> {
  await opening(sql, sql`select ${app}::integer as app, ${grantId}::uuid as grant_id`);
}

function opening(sql: Query, mailboxes: Part): Part {
  return sql`
    insert into open_mailboxes as o (app, grant_id, active_at)
    select app, grant_id, now() from (${mailboxes}) as mailbox
    where not exists (
      select from open_mailboxes known
      where known.app = mailbox.app and known.grant_id = mailbox.grant_id and known.active_at > now() - interval '1 hour'
    )
    order by app, grant_id
    on conflict (app, grant_id) do update set active_at = greatest(o.active_at, excluded.active_at)`;
}

/** Its grant was deleted: nothing is waited for there any more. */
export async function closeMailbox(sql: Query, app: number, grantId: string): Promise<void> {
  await sql`delete from open_mailboxes where app = ${app} and grant_id = ${grantId}`;
}
