// What the database knows of the mails that others name as their ancestors.
import type { Query } from '../db/pool.ts';
import {
  type MailboxOf,
  messagesByHeader,
  messagesByIds,
  type TrackedRow,
  trackedBefore,
} from '../tracking/threads.ts';
import { type Ancestor, ancestorsOfOurs } from './ancestry.ts';
import { messageIdMark, normalId } from './mark.ts';

/** By Message-IDs as {@link normalId} has them, but where said otherwise. */
export interface Kin {
  /** Messages of ours, tracked or not. */
  readonly ours: ReadonlyMap<string, TrackedRow>;
  /** Mails of others that were found before. */
  readonly received: ReadonlyMap<string, ReceivedRow>;
  /** The tracked messages which those answer, by database id. */
  readonly roots: ReadonlyMap<string, TrackedRow>;
  /** By the database id of an untracked message of ours: the tracked one of its thread that came last before it. */
  readonly before: ReadonlyMap<string, TrackedRow>;
}

export interface ReceivedRow {
  /** Database id. */
  readonly id: string;
  readonly rootId: string | null;
}

export const NO_KIN: Kin = { ours: new Map(), received: new Map(), roots: new Map(), before: new Map() };

/** How often the ancestors of untracked messages are followed further up; their References name most at once. */
const MOST_STEPS = 4;

/**
 * Reads everything that `ancestors` and the messages `ours` lead to. All that can be asked at once is: two round trips for
 * a page of mail, one more for each step by which an untracked message of ours is followed up.
 */
export async function readKin(
  sql: Query,
  mailbox: MailboxOf,
  ancestors: readonly Ancestor[],
  seeds: readonly TrackedRow[] = [],
): Promise<Kin> {
  const ours = new Map<string, TrackedRow>();
  const received = new Map<string, ReceivedRow>();
  const roots = new Map<string, TrackedRow>();
  const before = new Map<string, TrackedRow>();
  const asked = new Set<string>();
  let untracked: TrackedRow[] = [];
  let missing: string[] = [];
  const keep = (id: string, row: TrackedRow): void => {
    if (ours.has(id)) return;
    ours.set(id, row);
    if (row.threadReplies) roots.set(row.id, row);
    else untracked.push(row);
  };
  const news = (all: readonly Ancestor[]): Ancestor[] =>
    all.filter(({ id }) => {
      if (asked.has(id)) return false;
      asked.add(id);
      return true;
    });

  for (const row of seeds) {
    const id = normalId(row.messageId);
    if (id !== null) keep(id, row);
  }
  let wanted = news([...ancestors, ...untracked.flatMap((row) => ancestorsOfOurs(row.ancestors))]);
  for (let step = 0; wanted.length > 0 || untracked.length > 0 || missing.length > 0; step++) {
    const [found, known, earlier, answered] = await Promise.all([
      wanted.length === 0 ? [] : ownOf(sql, mailbox, wanted),
      wanted.length === 0 ? [] : receivedOf(sql, mailbox, wanted),
      trackedBefore(sql, mailbox, untracked),
      missing.length === 0 ? [] : messagesByIds(sql, mailbox, missing),
    ]);
    untracked = [];
    for (const [id, row] of earlier) before.set(id, row);
    for (const [id, row] of answered) roots.set(id, row);
    for (const [id, row] of found) keep(id, row);
    for (const [id, row] of known) received.set(id, row);
    wanted = step + 1 < MOST_STEPS ? news(untracked.flatMap((row) => ancestorsOfOurs(row.ancestors))) : [];
    const answers = known.flatMap(([, { rootId }]) => (rootId === null || roots.has(rootId) ? [] : [rootId]));
    missing = [...new Set(answers)];
  }
  return { ours, received, roots, before };
}

type Entries<T> = (readonly [id: string, T])[];

async function ownOf(sql: Query, mailbox: MailboxOf, ancestors: readonly Ancestor[]): Promise<Entries<TrackedRow>> {
  const rows = await messagesByHeader(
    sql,
    mailbox,
    ancestors.flatMap(({ spellings }) => spellings),
  );
  return ancestors.flatMap(({ id, spellings }) => {
    const row = spellings.map((spelling) => rows.get(spelling)).find((found) => found !== undefined);
    return row === undefined ? [] : [[id, row] as const];
  });
}

/** One probe of the primary key for each, whatever the planner believes of the table: only there do marks lie in order. */
async function receivedOf(
  sql: Query,
  mailbox: MailboxOf,
  ancestors: readonly Ancestor[],
): Promise<Entries<ReceivedRow>> {
  const ids = new Map(ancestors.map(({ id }) => [messageIdMark(id).toString('hex'), id]));
  const rows = await sql<{ mark: string; id: string; root_id: string | null }[]>`
    select wanted.mark, r.id, r.root_id
    from unnest(${[...ids.keys()]}::text[]) as wanted (mark)
    cross join lateral (
      select mark, id, root_id from received_messages
      where app = ${mailbox.app} and grant_id = ${mailbox.grantId} and mark >= decode(wanted.mark, 'hex')
      order by mark limit 1
    ) as r
    where r.mark = decode(wanted.mark, 'hex')`;
  return rows.flatMap((row) => {
    const id = ids.get(row.mark);
    return id === undefined ? [] : [[id, { id: row.id, rootId: row.root_id }] as const];
  });
}
