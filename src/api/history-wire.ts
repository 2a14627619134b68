// Notifications and deliveries as the API shows them, and how their lists are asked for: our own addition to v3.
import { invalid } from '../errors.ts';
import { fromWireId, uuidTime, wireId } from '../ids.ts';
import type { Attempt, Delivery, ListOrder } from '../notify/delivery-list.ts';
import { parseTriggers } from '../notify/destination-rules.ts';
import type { Page } from '../notify/windows.ts';
import { seconds } from './destinations.ts';
import { integer, LAST_SECOND, list, second, text, UNIX_SECONDS, type ValuesOf } from './query.ts';

/** The parameters that both lists have. `trigger_type` is what the items call it. */
export const LIST_PARAMETERS = {
  trigger_types: list('Only those of these triggers'),
  trigger_type: list('The same: what the items call it'),
  message_id: text('Only what was told of this message'),
  since: second('Made at this time or later'),
  until: second('Made before this time'),
  limit: integer({ min: 1, max: 200, fallback: 50 }, 'How many at most'),
  page_token: text('The next_cursor of the page before'),
};

export function readListOrder(query: ValuesOf<typeof LIST_PARAMETERS>): ListOrder {
  const { trigger_types: many, trigger_type: one } = query;
  const triggers = many === undefined ? one : [...many, ...(one ?? [])];
  return {
    limit: query.limit,
    before: readCursor(query.page_token),
    triggers: triggers === undefined ? undefined : parseTriggers(triggers),
    messageId: readMessageId(query.message_id),
    ...readTimes(query.since, query.until),
  };
}

/** Unix seconds to milliseconds. */
export function readTimes(since: number | undefined, until: number | undefined): Pick<ListOrder, 'since' | 'until'> {
  for (const [name, value] of [
    ['since', since],
    ['until', until],
  ] as const) {
    if (value !== undefined && value > LAST_SECOND) throw invalid(name, UNIX_SECONDS);
  }
  if (since !== undefined && until !== undefined && until <= since) throw invalid('until', 'must be later than since');
  return { since: since && since * 1000, until: until && until * 1000 };
}

/** The id in a `next_cursor` of ours. */
export function readCursor(token: string | undefined): string | undefined {
  if (token === undefined) return undefined;
  const id = fromWireId('ntf', token);
  if (id === null) throw invalid('page_token', 'must be the next_cursor of an earlier answer');
  return id;
}

/** Null at the end of the list. */
export function nextCursor({ next }: Pick<Page<unknown>, 'next'>): { readonly next_cursor: string | null } {
  return { next_cursor: next === null ? null : wireId('ntf', next) };
}

export function deliveryToWire(delivery: Delivery): object {
  return {
    notification_id: wireId('ntf', delivery.notificationId),
    ...subjectToWire(delivery),
    ...standingToWire(delivery),
  };
}

/** What is told, without the payload. */
export function subjectToWire({
  notificationId,
  trigger,
  messageId,
  grantId,
}: Pick<Delivery, 'notificationId' | 'trigger' | 'messageId' | 'grantId'>): object {
  return {
    trigger_type: trigger,
    message_id: messageId === null ? null : wireId('msg', messageId),
    grant_id: grantId,
    created_at: Math.floor(uuidTime(notificationId) / 1000),
  };
}

/** How a delivery stands. */
export function standingToWire({
  state,
  round,
  attempts,
  nextAttemptAt,
  settledAt,
  lastAttempt,
}: Omit<Delivery, 'notificationId' | 'trigger' | 'messageId' | 'grantId'>): object {
  return {
    state,
    round,
    attempt_count: attempts,
    next_attempt_at: nextAttemptAt === null ? null : seconds(nextAttemptAt),
    settled_at: settledAt === null ? null : seconds(settledAt),
    last_attempt:
      lastAttempt === null
        ? null
        : {
            outcome: lastAttempt.outcome,
            status_code: lastAttempt.status,
            started_at: seconds(lastAttempt.startedAt),
          },
  };
}

export function attemptToWire({ round, attempt, outcome, status, answer, startedAt, durationMs }: Attempt): object {
  return {
    round,
    attempt,
    outcome,
    status_code: status,
    answer,
    started_at: seconds(startedAt),
    duration_ms: durationMs,
  };
}

function readMessageId(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const id = fromWireId('msg', name);
  if (id === null) throw invalid('message_id', 'is not the id of a message');
  return id;
}
