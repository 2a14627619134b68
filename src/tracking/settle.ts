import { isUuid, uuidTime } from '../ids.ts';
import type { Hit } from './hit.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const HOUR_MS = 60 * 60 * 1000;
/** No hit is older than the first release: a clock before it was never set. */
const EARLIEST_MS = Date.UTC(2026, 0, 1);
export const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

/** The id and the time a hit is recorded under. */
export interface Settled {
  readonly id: string;
  /** The id the same hit may have been recorded under when it was judged at another time, else null. */
  readonly otherId: string | null;
  readonly at: Date;
}

/**
 * Keeps a hit whose clock jumped out of far-off partitions. An absurd one gets the time of its message, with its own
 * random bits: a function of the hit alone, so that reading it again yields the same id. `now` is the database's
 * clock, because the clock that jumped may be this machine's.
 * A string is the reason why the hit cannot be recorded.
 */
export function settle(hit: Hit, now: number): Settled | string {
  if (!isUuid(hit.id) || !isUuid(hit.message)) return 'id_malformed';
  if (Number.isNaN(hit.at.getTime())) return 'time_malformed';
  const time = uuidTime(hit.id);
  const messageTime = uuidTime(hit.message);
  // A message made under a jumped clock says nothing about when its hits can have been.
  const messageIsPlausible = messageTime >= EARLIEST_MS && messageTime <= now + DAY_MS;
  const earliest = messageIsPlausible ? messageTime - DAY_MS : EARLIEST_MS;
  if (time >= earliest && time <= now + DAY_MS) {
    // Ahead of the database, so it may have been further ahead, and clamped, when it was read before.
    const otherId = messageIsPlausible && time > now + HOUR_MS ? atTime(hit.id, messageTime) : null;
    return { id: hit.id, otherId, at: withinReach(hit.at, earliest, now) };
  }
  if (!messageIsPlausible) return 'clock_jumped';
  return { id: atTime(hit.id, messageTime), otherId: hit.id, at: withinReach(hit.at, earliest, now) };
}

/**
 * No hit of the message is recorded under a lower id, unless the message was made under a jumped clock, which only the
 * clock of that moment can tell.
 */
export function lowestHitId(message: string): string {
  return atTime(LOWEST_ID, Math.max(0, uuidTime(message) - DAY_MS));
}

/** A time of happening that cannot be true becomes the time of recording. */
function withinReach(at: Date, earliest: number, now: number): Date {
  return at.getTime() >= earliest && at.getTime() <= now + DAY_MS ? at : new Date(now);
}

function atTime(id: string, ms: number): string {
  const hex = ms.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}${id.slice(13)}`;
}
