// The processes that watch mailboxes know each other by their rows in `watch_nodes`. All times are the database's.
import { randomUUID } from 'node:crypto';
import { isConnectionLost, type Query, type Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';

export interface NodeDeps {
  /** Used for nothing that may take long. */
  readonly sql: Sql;
  readonly log: Pick<Log, 'warn'>;
  readonly beatMs: number;
  readonly deadMs: number;
}

export interface WatchNode {
  readonly id: string;
  /** Resolves once the others know of it. */
  readonly known: Promise<void>;
  /** Which nodes this one takes to be alive: a condition on `watch_nodes`, whatever it is called in the statement. */
  isAlive(sql: Query, nodes: string): ReturnType<Query>;
  /** Not heard of for so long, and then again: the others may have taken what it had. Asked once, it is false again. */
  wasAway(): boolean;
  /** Says that it is gone, where the database can be told. */
  stop(): Promise<void>;
}

const FORGET_AFTER = '1 hour';

export function startNode({ sql, log, beatMs, deadMs }: NodeDeps): WatchNode {
  const id = randomUUID();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let last: number | null = null;
  let away = false;
  /**
   * After a time without the database: the others could not say that they lived either, so those that did until then are
   * not taken for dead before they had the time to say so. All mailboxes would change hands otherwise.
   */
  let doubt = { aliveAt: 0, until: 0 };
  let known = (): void => {};
  const knownToOthers = new Promise<void>((resolve) => {
    known = resolve;
  });

  const beat = async (): Promise<void> => {
    let wait = beatMs;
    try {
      const at = await sayAlive(sql, id);
      if (last !== null && at - last >= deadMs) {
        away = true;
        doubt = { aliveAt: last - deadMs, until: at + deadMs };
      }
      last = at;
      known();
    } catch (error) {
      if (!isConnectionLost(error)) log.warn({ err: error }, 'replies.heartbeat_failed');
      wait = beatMs / 5;
    }
    if (!stopped) timer = setTimeout(run, wait).unref();
  };
  let beating: Promise<void> = Promise.resolve();
  const run = (): void => {
    beating = beat();
  };
  run();

  return {
    id,
    known: knownToOthers,
    isAlive: (query, nodes) => query`
      (${query(nodes)}.seen_at > now() - ${deadMs}::float8 * interval '1 millisecond'
        or (now() < to_timestamp(${doubt.until / 1000}) and ${query(nodes)}.seen_at > to_timestamp(${doubt.aliveAt / 1000})))`,
    wasAway() {
      const was = away;
      away = false;
      return was;
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await beating;
      await sql`delete from watch_nodes where id = ${id}`;
    },
  };
}

/** Answers when that was, Unix milliseconds. */
async function sayAlive(sql: Sql, id: string): Promise<number> {
  const [row] = await sql<{ at: number }[]>`
    insert into watch_nodes (id) values (${id})
    on conflict (id) do update set seen_at = now()
    returning (extract(epoch from seen_at) * 1000)::float8 as at`;
  if (!row) throw new Error('a heartbeat gave no row');
  return row.at;
}

/** A node that has no row counts as dead like one whose row is old. */
export async function forgetNodes(sql: Sql): Promise<void> {
  await sql`delete from watch_nodes where seen_at < now() - ${FORGET_AFTER}::interval`;
}
