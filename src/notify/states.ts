// From rows to what they tell. What is told was written with the fact; only the events of a message are read at delivery.
import { gather } from '../db/gather.ts';
import type { Query } from '../db/pool.ts';
import { readGrantDetail } from '../grants/grant-facts.ts';
import { readBounceDetail } from '../tracking/bounce-facts.ts';
import { firstEventAt } from '../tracking/first-event.ts';
import { readMailDetail } from '../tracking/mail-facts.ts';
import { type Extent, linkUrls, type RecentEvent, recents } from '../tracking/recents.ts';
import { readReplyDetail } from '../tracking/reply-facts.ts';
import { readSendDetail } from '../tracking/send-facts.ts';
import { fitting } from './payloads/mail.ts';
import type { AnyState } from './payloads/state.ts';
import type { EventName } from './payloads/tracking.ts';
import type { NotificationState } from './payloads.ts';
import type { ToldTrigger } from './triggers.ts';

/** Messages whose events are read by one statement; each has at most 50. */
const AT_ONCE = 100;

/** A notification, its application and, where it is about a message of ours, that message. */
export interface Told {
  readonly notification_id: string;
  readonly application_id: string;
  readonly trigger: string | null;
  readonly message_id: string | null;
  readonly sequence: number | null;
  readonly subject: string | null;
  readonly detail: unknown;
  readonly link_counts: number[] | null;
  readonly happened_at: Date;
  readonly created_at: Date;
  readonly grant_id: string | null;
  readonly label: string;
  /** Of what it is about; false for what is told of a grant itself. */
  readonly is_grant_deleted: boolean;
}

/** Null where what it tells of is gone (erased, pruned, its grant deleted) or unknown to this version. */
export type StateReader = (row: Told, app: number) => Promise<NotificationState | null>;

/** Reads the events of a message once for all notifications that tell the same of it. */
export function stateReader(sql: Query): StateReader {
  const history = readOnce(sql);
  return async (row, app) => {
    if (row.is_grant_deleted) return null; // contract D12: no notification, ever; what waited for a retry included
    switch (row.trigger) {
      case 'message.opened':
      case 'message.link_clicked': {
        const event = eventOf(row);
        if (event === null) return null;
        return { ...base(row, row.trigger, event.grantId), ...event, ...(await history(app, row.trigger, event)) };
      }
      case 'message.opened.legacy':
      case 'message.link_clicked.legacy': {
        const event = eventOf(row);
        if (event === null) return null;
        const name = row.trigger === 'message.opened.legacy' ? 'message.opened' : 'message.link_clicked';
        const [told, firstAt] = await Promise.all([
          history(app, name, event),
          firstEventAt(sql, app, event.messageId, name),
        ]);
        return { ...base(row, row.trigger, event.grantId), ...event, ...told, firstAt: firstAt ?? event.happenedAt };
      }
      case 'thread.replied':
      case 'thread.replied.legacy': {
        const event = eventOf(row);
        const detail = readReplyDetail(row.detail);
        if (event === null || detail === null) return null;
        const { grantId, messageId, sequence, happenedAt, label } = event;
        return { ...base(row, row.trigger, grantId), messageId, sequence, happenedAt, label, detail };
      }
      case 'message.send_success': {
        const message = messageOf(row);
        const detail = readSendDetail(row.detail);
        return message && detail && { ...base(row, row.trigger, message.grantId), ...message, detail };
      }
      case 'message.send_failed': {
        const message = messageOf(row);
        const detail = readSendDetail(row.detail);
        if (message === null || detail === null || detail.failure === null) return null;
        const { failure } = detail;
        return { ...base(row, row.trigger, message.grantId), ...message, detail: { ...detail, failure } };
      }
      case 'message.bounce_detected': {
        const message = messageOf(row);
        const detail = readBounceDetail(row.detail);
        return message && detail && { ...base(row, row.trigger, message.grantId), ...message, detail };
      }
      case 'message.created': {
        const detail = readMailDetail(row.detail);
        if (row.subject === null || detail === null) return null;
        return fitting({ ...base(row, row.trigger, row.subject), detail });
      }
      case 'grant.created':
      case 'grant.updated':
      case 'grant.expired':
      case 'grant.deleted': {
        const detail = readGrantDetail(row.detail);
        if (row.subject === null || detail === null) return null;
        return { ...base(row, row.trigger, row.subject), detail };
      }
      default:
        return null;
    }
  };
}

function base<Name extends ToldTrigger>(row: Told, trigger: Name, grantId: string): AnyState<Name> {
  const { notification_id: id, created_at: createdAt, application_id: applicationId } = row;
  return { id, trigger, createdAt, applicationId, grantId };
}

/** Null where the message is gone. */
function messageOf({ grant_id: grantId, message_id: messageId }: Told): { grantId: string; messageId: string } | null {
  return grantId === null || messageId === null ? null : { grantId, messageId };
}

interface Event {
  readonly grantId: string;
  readonly messageId: string;
  readonly sequence: number;
  readonly linkCounts: readonly number[] | null;
  readonly happenedAt: Date;
  readonly label: string;
}

function eventOf(row: Told): Event | null {
  const message = messageOf(row);
  if (message === null || row.sequence === null || row.sequence < 0) return null;
  const { sequence, link_counts: linkCounts, happened_at: happenedAt, label } = row;
  return { ...message, sequence, linkCounts, happenedAt, label };
}

interface History {
  readonly links: readonly string[];
  readonly recents: readonly RecentEvent[];
}

/** What is asked for in one turn is read together. */
function readOnce(sql: Query): (app: number, name: EventName, event: Event) => Promise<History> {
  const known = new Map<string, Promise<History>>();
  const options = { atOnce: AT_ONCE, isTheirs: () => false };
  const events = gather({ ...options, run: (extents: readonly Extent[]) => recents(sql, extents) });
  const links = gather({ ...options, run: (extents: readonly Extent[]) => linkUrls(sql, extents) });
  const read = async (extent: Extent): Promise<History> => {
    const [urls, told] = await Promise.all([
      extent.trigger === 'message.link_clicked' ? links(extent) : [],
      events(extent),
    ]);
    return { links: urls, recents: told };
  };
  return (app, name, { messageId, sequence }) => {
    const key = `${app} ${messageId} ${name} ${sequence}`;
    const history = known.get(key) ?? read({ app, messageId, trigger: name, sequence });
    known.set(key, history);
    return history;
  };
}
