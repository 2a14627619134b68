// How practice mailboxes are watched and read.
import { EventEmitter } from 'node:events';
import type { Query, Sql } from '../db/pool.ts';
import { isUuid } from '../ids.ts';
import type { PracticeKept, PracticeStore } from '../providers/practice-store.ts';

const LONGEST_HEAD = 64 * 1024;
const SLICE = 4 * 1024 * 1024;

/** The part of a practice store that reads. */
export function practiceReading(sql: Sql): Pick<PracticeStore, 'later' | 'beginnings' | 'read'> {
  return {
    // The head ends at the first empty line; its end is looked for in the database, so that bodies stay there.
    later: async ({ app, grantId }, after, given, limit) =>
      await sql<(PracticeKept & { readonly head: Buffer })[]>`
        select id, folder, received_at as "receivedAt", size,
          case when cut > 0 then substring(start for cut + 3) else start end as head
        from (
          select id, folder, received_at, size, start, position('\\x0d0a0d0a'::bytea in start) as cut
          from (
            select id, folder, received_at, size, substring(raw for ${LONGEST_HEAD}) as start from practice_messages
            where app = ${app} and grant_id = ${grantId} and id >= ${lowest(after)}
              and folder <> 'DRAFTS' and id <> all (${[...given]}::uuid[])
            order by id limit ${limit}) mail) mail
        order by id`,

    async beginnings({ app, grantId }, ids, most) {
      const rows = await sql<{ id: string; start: Buffer }[]>`
        select id, substring(raw for ${most}) as start from practice_messages
        where app = ${app} and grant_id = ${grantId} and folder <> 'DRAFTS'
          and id = any (${ids.filter(isUuid)}::uuid[])`;
      return new Map(rows.map(({ id, start }) => [id, start]));
    },

    async read({ app, grantId }, id, messageId) {
      const known = id !== null && isUuid(id) ? id : null;
      const [row] = await sql<PracticeKept[]>`
        select id, folder, received_at as "receivedAt", size from practice_messages
        where app = ${app} and grant_id = ${grantId} and folder <> 'DRAFTS'
          and (id = ${known} or message_id = ${messageId})
        order by (id = ${known}) desc nulls last, id desc limit 1`;
      const raw = row === undefined ? null : await practiceBytes(sql, app, row);
      return row === undefined || raw === null ? null : { ...row, raw };
    },
  };
}

/** The bytes of a mail; null where it has gone. In slices: as text, which the driver makes of them, they are twice as long. */
export async function practiceBytes(
  sql: Query,
  app: number,
  { id, size }: Pick<PracticeKept, 'id' | 'size'>,
): Promise<Buffer | null> {
  const slices: Buffer[] = [];
  for (let at = 0; at < size || at === 0; at += SLICE) {
    const [row] = await sql<{ bytes: Buffer }[]>`
      select substring(raw from ${at + 1} for ${SLICE}) as bytes from practice_messages where app = ${app} and id = ${id}`;
    if (row === undefined) return null;
    slices.push(row.bytes);
  }
  const [first] = slices;
  return slices.length === 1 && first !== undefined ? first : Buffer.concat(slices, size);
}

/** Mailboxes by the ids of their grants. */
const arrivals = new EventEmitter().setMaxListeners(0);

/** This process has put a mail into the mailbox of this grant. */
export function tellArrival(grantId: string): void {
  arrivals.emit(grantId);
}

/** True once a mail is put there by this process, false after `ms` or when `signal` aborts. */
export function practiceArrival(grantId: string, ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (arrived: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      arrivals.off(grantId, onArrival);
      resolve(arrived);
    };
    const onArrival = (): void => end(true);
    const onAbort = (): void => end(false);
    const timer = setTimeout(onAbort, ms).unref();
    arrivals.on(grantId, onArrival);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) end(false);
  });
}

/** Of the UUIDv7s of a millisecond. */
function lowest(ms: number): string {
  const hex = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-000000000000`;
}
