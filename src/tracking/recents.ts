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

/** What a notification tells of: the events of (message, trigger) up to and including `sequence`. */
export interface Extent {
  readonly app: number;
  readonly messageId: string;
  readonly trigger: Trigger;
  readonly sequence: number;
}

/** Of each extent its newest 50 counted events, oldest first. Fewer where history was pruned. */
export async function recents(sql: Query, extents: readonly Extent[]): Promise<RecentEvent[][]> {
  // With a lowest id only the partitions since the messages are looked into, not those of years (about 100 after two).
  const lowest = extents.map(({ messageId }) => lowestHitId(messageId)).sort()[0] ?? LOWEST_ID;
  const found = await read(sql, extents, lowest);
  const cut = extents.filter(({ sequence }, at) => found[at]?.length !== Math.min(sequence + 1, NEWEST));
  if (cut.length === 0) return found;
  // Pruned, or the clock was ahead when the message was made.
  const again = new Map((await read(sql, cut, LOWEST_ID)).map((events, at) => [cut[at], events]));
  return extents.map((extent, at) => again.get(extent) ?? found[at] ?? []);
}

/** In one statement: asked for one by one they cost more than all the rest of a delivery. */
async function read(sql: Query, extents: readonly Extent[], lowestId: string): Promise<RecentEvent[][]> {
  const rows = await sql<(RecentEvent & { readonly at: string })[]>`
    select extent.at, event.*
    from unnest(
      ${extents.map(({ app }) => app)}::integer[],
      ${extents.map(({ messageId }) => messageId)}::uuid[],
      ${extents.map(({ trigger }) => trigger)}::text[],
      ${extents.map(({ sequence }) => sequence)}::integer[]
    ) with ordinality as extent (app, message_id, trigger, sequence, at)
    cross join lateral (
      select sequence, link_index as "linkIndex", happened_at as "happenedAt", ip, user_agent as "userAgent",
        class, reasons
      from events e
      where e.app = extent.app and e.message_id = extent.message_id and e.trigger = extent.trigger::tracking_trigger
        and e.sequence <= extent.sequence and e.sequence > extent.sequence - ${NEWEST} and e.id >= ${lowestId}
      order by e.sequence desc
      limit ${NEWEST}
    ) event
    order by extent.at, event.sequence`;
  const events = extents.map((): RecentEvent[] => []);
  for (const { at, ...event } of rows) events[Number(at) - 1]?.push(event);
  return events;
}
