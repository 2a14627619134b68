import type { Query } from '../db/pool.ts';
import { isOpen, windows } from './survey.ts';

export interface WatchedState {
  readonly application: string;
  readonly grantId: string;
  readonly email: string;
  /** `watched`: by a process that lives. `waiting`: for one, or to be tried again. `paused`: its grant waits for re-authentication. */
  readonly state: 'watched' | 'waiting' | 'paused';
  /** The process; null: none. */
  readonly nodeId: string | null;
  /** When it was last read to its end. */
  readonly syncedAt: Date | null;
  /** When something was last written in one of its threads, to the hour. */
  readonly activeAt: Date;
  /** Tries in a row that failed, and why the last one did. */
  readonly failures: number;
  readonly problem: string | null;
}

/** The mailboxes in which answers are waited for, by their addresses. */
export async function listMailboxes(sql: Query): Promise<WatchedState[]> {
  return await sql<WatchedState[]>`
    select p.name as application, o.grant_id as "grantId", g.email,
      case when g.state <> 'valid' then 'paused'
        when n.seen_at > now() - interval '15 seconds' and w.failures = 0 then 'watched' else 'waiting' end as state,
      w.node_id as "nodeId", w.synced_at as "syncedAt", o.active_at as "activeAt",
      coalesce(w.failures, 0) as failures, w.problem
    from open_mailboxes o
    join applications p on p.serial = o.app
    join grants g on g.app = o.app and g.id = o.grant_id and g.state <> 'deleted'
    join ${windows(sql)} on a.serial = o.app
    left join watches w on w.app = o.app and w.grant_id = o.grant_id
    left join watch_nodes n on n.id = w.node_id
    where ${isOpen(sql)}
    order by p.name, g.email`;
}
