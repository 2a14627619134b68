// Who watches a mailbox. A lease is a row of `watches` that names a node; every change of hands raises its epoch.
import type { Query, Sql, Tx } from '../db/pool.ts';
import type { Grant } from '../grants/grants.ts';
import { withoutAddresses } from '../log.ts';
import type { Cursor, Page } from '../providers/watch.ts';

export interface Mailbox {
  readonly app: number;
  readonly grantId: Grant['id'];
}

export interface Lease extends Mailbox {
  readonly nodeId: string;
  readonly epoch: number;
}

/** Another node watches the mailbox by now, or nobody may any more. */
export class LeaseLost extends Error {
  constructor() {
    super('the mailbox is watched by another node, or its grant was deleted');
    this.name = 'LeaseLost';
  }
}

/** A page, or some mails of one: these leave the cursor where it is (null). */
export type Portion = Pick<Page, 'mails' | 'isLast'> & { readonly cursor: Cursor | null };

const LONGEST_PROBLEM = 300;

/**
 * Proves that the lease still holds, and sees to it that it does until the transaction ends. What is written for a mailbox
 * begins with this. Throws {@link LeaseLost}.
 */
export async function fence(tx: Tx, lease: Lease): Promise<void> {
  const held = await tx`
    select from watches w join grants g on g.app = w.app and g.id = w.grant_id
    where ${isLeased(tx, lease)} and g.state <> 'deleted'
    for update of w for share of g`;
  if (held.length === 0) throw new LeaseLost();
}

/** After `fence`. A cursor of null stays as it is; `isSynced`: nothing more was there. */
export async function saveCursor(tx: Tx, lease: Lease, cursor: Cursor | null, isSynced: boolean): Promise<void> {
  await tx`
    update watches w set failures = 0, problem = null
      ${cursor === null ? tx`` : tx`, cursor = ${tx.json(cursor)}`} ${isSynced ? tx`, synced_at = now()` : tx``}
    where ${isLeased(tx, lease)}`;
}

/** For people to see; the next page that is dealt with clears it. */
export async function noteProblem(sql: Query, lease: Lease, failures: number, problem: string): Promise<void> {
  await sql`
    update watches w set failures = ${failures}, problem = ${presentable(problem)} where ${isLeased(sql, lease)}`;
}

/** What a server says, fit to be shown and kept: no addresses, one line, not long. */
export function presentable(reason: string): string {
  const line = withoutAddresses(reason)
    .toWellFormed()
    .replace(/[\p{Cc}\s]+/gu, ' ');
  return line.trim().slice(0, LONGEST_PROBLEM).toWellFormed();
}

/** Leaves mailboxes to whoever looks next, with their cursors. Leases that are lost stay lost. */
export async function release(sql: Sql, leases: readonly Lease[]): Promise<void> {
  if (leases.length === 0) return;
  await sql`
    update watches w set node_id = null
    from unnest(
      ${leases.map(({ app }) => app)}::integer[],
      ${leases.map(({ grantId }) => grantId)}::uuid[],
      ${leases.map(({ nodeId }) => nodeId)}::uuid[],
      ${leases.map(({ epoch }) => epoch)}::bigint[]
    ) as mine (app, grant_id, node_id, epoch)
    where w.app = mine.app and w.grant_id = mine.grant_id and w.node_id = mine.node_id and w.epoch = mine.epoch`;
}

/**
 * The mailbox is read anew, from the day of the oldest open message on; what was told before is not told again. False where
 * it is not watched.
 */
export async function forgetCursor(sql: Sql, { app, grantId }: Mailbox): Promise<boolean> {
  const rows = await sql`
    update watches set cursor = null, synced_at = null, node_id = null, epoch = epoch + 1
    where app = ${app} and grant_id = ${grantId} returning app`;
  return rows.length > 0;
}

/** The same with all that a node has. */
export async function releaseAll(sql: Sql, nodeId: string): Promise<void> {
  await sql`update watches set node_id = null where node_id = ${nodeId}`;
}

function isLeased(sql: Query, { app, grantId, nodeId, epoch }: Lease): ReturnType<Query> {
  return sql`w.app = ${app} and w.grant_id = ${grantId} and w.node_id = ${nodeId} and w.epoch = ${epoch}`;
}
