// Mailboxes in which nothing is waited for any more, and what is kept no longer.
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { closeMailbox } from '../tracking/open-mailboxes.ts';
import type { Mailbox } from './leases.ts';
import { isOpen, windows } from './survey.ts';

const AT_ONCE = 500;
const PRUNE_AT_ONCE = 5_000;
const UNRELATED_DAYS = 90;
const ERASE_OF_LATE_MINUTES = 10;

/**
 * Ends what is kept of watching a mailbox whose grant was deleted, or whose last window is over; a later opening starts
 * anew, by date. That answers were waited for there stays known but of a deleted grant: when the application waits for
 * more days, the mailbox is open again. Nothing where neither is so by now. Whoever still watches it loses the lease.
 */
export async function endWatch(sql: Sql, { app, grantId }: Mailbox): Promise<void> {
  await transaction(sql, async (tx) => {
    // In the order in which a page of mail takes them. A send that opens it meanwhile comes before or after.
    await tx`select from watches where app = ${app} and grant_id = ${grantId} for update`;
    await tx`select from open_mailboxes where app = ${app} and grant_id = ${grantId} for update`;
    const [grant] = await tx<{ isDeleted: boolean; isOpen: boolean }[]>`
      select g.state = 'deleted' as "isDeleted", ${isOpen(tx)} as "isOpen"
      from grants g
      join ${windows(tx)} on a.serial = g.app
      left join open_mailboxes o on o.app = g.app and o.grant_id = g.id
      where g.app = ${app} and g.id = ${grantId}`;
    const isDeleted = grant?.isDeleted ?? true;
    if (!isDeleted && grant?.isOpen) return;
    await tx`delete from watches where app = ${app} and grant_id = ${grantId}`;
    if (!isDeleted) return;
    await closeMailbox(tx, app, grantId);
    await tx`delete from received_messages where app = ${app} and grant_id = ${grantId}`;
  });
}

/** The same for all that nobody noticed, some hundreds at once. */
export async function endForgotten(sql: Sql): Promise<void> {
  const mailboxes = await sql<Mailbox[]>`
    select each.app, each.grant_id as "grantId"
    from (select app, grant_id, true as watched from watches
      union all select app, grant_id, false from open_mailboxes) as each
    left join grants g on g.app = each.app and g.id = each.grant_id
    left join ${windows(sql)} on a.serial = each.app
    left join open_mailboxes o on o.app = each.app and o.grant_id = each.grant_id
    where g.id is null or g.state = 'deleted' or (each.watched and not ${isOpen(sql)})
    limit ${AT_ONCE}`;
  for (const mailbox of mailboxes) await endWatch(sql, mailbox);
}

/** Erases the mail of deleted grants, whose mailbox need not have been open any more: of the last minutes, or of all. */
export async function eraseDeleted(sql: Sql, which: 'of late' | 'all'): Promise<void> {
  await sql`
    delete from received_messages r using grants g
    where g.state = 'deleted' and r.app = g.app and r.grant_id = g.id
      ${which === 'all' ? sql`` : sql`and g.deleted_at > now() - ${ERASE_OF_LATE_MINUTES} * interval '1 minute'`}`;
}

/** What was told of and answers nothing of ours is kept for 90 days. Answers whether there may be more. */
export async function pruneUnrelated(sql: Sql): Promise<boolean> {
  const { count } = await sql`
    delete from received_messages where (app, grant_id, mark) in (
      select app, grant_id, mark from received_messages
      where root_id is null and received_at < now() - ${UNRELATED_DAYS} * interval '1 day' limit ${PRUNE_AT_ONCE})`;
  return count === PRUNE_AT_ONCE;
}
