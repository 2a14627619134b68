import type { Query } from '../db/pool.ts';
import type { Trigger } from './events.ts';
import { LOWEST_ID, lowestHitId } from './settle.ts';

export { readLinks as linkUrls } from './links.ts';

/** `recents` of a notification holds this many (contract D7). */
const NEWEST = 50;

export interface RecentEvent {
  /** 0-based number within (message, trigger). */
  readonly sequence: number;
  /** Null for an open. */
  readonly linkIndex: number | null;
  readonly happenedAt: Date;
  readonly ip: string;
  readonly userAgent: string;
  readonly class: string;
  readonly reasons: readonly string[];
}

/** The newest 50 counted events up to and including `sequence`, oldest first. Fewer where history was pruned. */
export async function recents(
  sql: Query,
  app: number,
  messageId: string,
  trigger: Trigger,
  sequence: number,
): Promise<RecentEvent[]> {
  // With a lowest id only the partitions since the message are looked into, not those of years (about 100 after two).
  const read = (lowestId: string) => sql<RecentEvent[]>`
    select sequence, link_index as "linkIndex", happened_at as "happenedAt", ip, user_agent as "userAgent",
      class, reasons
    from events
    where app = ${app} and message_id = ${messageId} and trigger = ${trigger}
      and sequence <= ${sequence} and sequence > ${sequence - NEWEST} and id >= ${lowestId}
    order by sequence desc
    limit ${NEWEST}`;
  const rows = await read(lowestHitId(messageId));
  const isWhole = rows.length === Math.min(sequence + 1, NEWEST);
  // Pruned, or the clock was ahead when the message was made.
  return [...(isWhole ? rows : await read(LOWEST_ID))].reverse();
}
