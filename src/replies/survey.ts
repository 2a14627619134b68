// What is to be watched, and by whom.
import type { Query, Sql } from '../db/pool.ts';
import type { Cursor } from '../providers/watch.ts';
import type { Lease, Mailbox } from './leases.ts';
import type { WatchNode } from './nodes.ts';

export interface Survey {
  readonly live: number;
  /** Mailboxes to be watched, all in all. */
  readonly open: number;
  /** Of them without a row in `watches` yet. */
  readonly missing: number;
  /** Of the others those that nobody alive watches. */
  readonly free: number;
  /** Rows that name this node. */
  readonly mine: number;
}

/** `over`: its window is. `paused`: the grant waits for re-authentication. `changed`: the grant was, of late. */
export interface Change extends Mailbox {
  readonly epoch: number;
  readonly fate: 'deleted' | 'over' | 'paused' | 'changed';
  readonly changedAt: Date;
}

export interface Claimed {
  readonly lease: Lease;
  readonly cursor: Cursor | null;
  /** Names the server whose connections are counted together. */
  readonly server: string;
}

/** Longer than a change takes to be committed. */
const OF_LATE = '1 minute';
const ADD_AT_ONCE = 5_000;

/** 10,000 open mailboxes: see survey.test.ts. */
export async function survey(sql: Sql, node: WatchNode): Promise<Survey> {
  const [row] = await sql<Survey[]>`
    with alive as (select n.id from watch_nodes n where ${node.isAlive(sql, 'n')}), wanted as (${wanted(sql)})
    select (select count(*)::integer from alive) as live,
      (select count(*)::integer from watches where node_id = ${node.id}) as mine,
      count(*)::integer as open,
      (count(*) filter (where w.app is null))::integer as missing,
      (count(*) filter (where w.app is not null and alive.id is null))::integer as free
    from wanted left join watches w using (app, grant_id) left join alive on alive.id = w.node_id`;
  if (!row) throw new Error('a survey gave no row');
  return row;
}

/** What has to be known of the mailboxes that the node watches: little more than nothing while nothing happens. */
export async function changes(sql: Sql, nodeId: string): Promise<readonly Change[]> {
  return await sql<Change[]>`
    select * from (
      select w.app, w.grant_id as "grantId", w.epoch::float8 as epoch, coalesce(g.updated_at, 'epoch') as "changedAt",
        case
          when g.id is null or g.state = 'deleted' then 'deleted'
          when not ${isOpen(sql)} then 'over'
          when not ${canBeWatched(sql)} then 'paused'
          when g.updated_at > now() - ${OF_LATE}::interval then 'changed'
        end as fate
      from watches w
      left join grants g on g.app = w.app and g.id = w.grant_id
      left join ${windows(sql)} on a.serial = w.app
      left join open_mailboxes o on o.app = w.app and o.grant_id = w.grant_id
      where w.node_id = ${nodeId}
    ) as mine where fate is not null`;
}

/** Rows for mailboxes that are watched for the first time, or again. */
export async function addMissing(sql: Sql): Promise<void> {
  await sql`
    insert into watches (app, grant_id)
    select wanted.app, wanted.grant_id from (${wanted(sql)}) as wanted
    where not exists (select from watches w where w.app = wanted.app and w.grant_id = wanted.grant_id)
    order by wanted.app, wanted.grant_id limit ${ADD_AT_ONCE}
    on conflict do nothing`;
}

/** Takes mailboxes that nobody alive watches. Nothing where the others take this node for dead. */
export async function claim(sql: Sql, node: WatchNode, most: number): Promise<readonly Claimed[]> {
  const rows = await sql<(Mailbox & { epoch: number; cursor: Cursor | null; server: string })[]>`
    with picked as (
      select w.app, w.grant_id, g.provider || ' ' || coalesce(g.settings->>'imap_host', '') as server
      from watches w
      left join open_mailboxes o on o.app = w.app and o.grant_id = w.grant_id
      left join ${windows(sql)} on a.serial = w.app
      left join grants g on g.app = w.app and g.id = w.grant_id
      where ${canBeWatched(sql)} and ${isOpen(sql)}
        and (w.node_id is null
          or not exists (select from watch_nodes n where n.id = w.node_id and ${node.isAlive(sql, 'n')}))
        and exists (select from watch_nodes n where n.id = ${node.id} and ${node.isAlive(sql, 'n')})
      limit ${most} for update of w skip locked
    )
    update watches w set node_id = ${node.id}, epoch = w.epoch + 1
    from picked where w.app = picked.app and w.grant_id = picked.grant_id
    returning w.app, w.grant_id as "grantId", w.epoch::float8 as epoch, w.cursor, picked.server`;
  return rows.map(({ app, grantId, epoch, cursor, server }) => ({
    lease: { app, grantId, nodeId: node.id, epoch },
    cursor,
    server,
  }));
}

/** All that the database says this node has. */
export async function leasesOf(sql: Sql, nodeId: string): Promise<readonly Lease[]> {
  return await sql<Lease[]>`
    select app, grant_id as "grantId", node_id as "nodeId", epoch::float8 as epoch from watches where node_id = ${nodeId}`;
}

// Outer joins and conditions that are never null, so that the planner can only go from each mailbox to its rows by their
// keys. Free to choose, and without statistics of freshly filled tables, it took 20 s for 10,000 mailboxes instead of 20 ms.
function wanted(sql: Query): ReturnType<Query> {
  return sql`
    select o.app, o.grant_id
    from open_mailboxes o
    left join ${windows(sql)} on a.serial = o.app
    left join grants g on g.app = o.app and g.id = o.grant_id
    where ${canBeWatched(sql)} and ${isOpen(sql)}`;
}

function canBeWatched(sql: Query): ReturnType<Query> {
  return sql`coalesce(g.state = 'valid' and g.provider in ('practice', 'imap'), false)`;
}

/**
 * Applications `a`, each with the beginning of its window (D25), an hour earlier as mailboxes are open to the hour: worked
 * out once for each, not for each mailbox.
 */
export function windows(sql: Query): ReturnType<Query> {
  return sql`(
    select serial, now() - interval '1 hour' - interval '1 day' * case
      when jsonb_typeof(settings->'reply_watch_days') = 'number' then (settings->>'reply_watch_days')::float8
      else 90
    end as since
    from applications offset 0
  ) as a`;
}

/** Of a mailbox `o` of `open_mailboxes`, with {@link windows}; false where there is none. */
export function isOpen(sql: Query): ReturnType<Query> {
  return sql`coalesce(o.active_at > a.since, false)`;
}
