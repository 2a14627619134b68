import { wireId } from '../ids.ts';
import type { RecentEvent } from '../tracking/recents.ts';
import type { RaisedTrigger } from './triggers.ts';

/** A notification and what its payload tells, as things stood at its own sequence. */
export interface NotificationState {
  readonly id: string;
  readonly trigger: RaisedTrigger;
  readonly messageId: string;
  /** 0-based number of the newest event it tells of. */
  readonly sequence: number;
  /** In link order; null where the trigger has none. */
  readonly linkCounts: readonly number[] | null;
  /** When that event happened. */
  readonly happenedAt: Date;
  /** When the notification was made. */
  readonly createdAt: Date;
  readonly applicationId: string;
  readonly grantId: string;
  /** '' for none. */
  readonly label: string;
  /** The addresses of all tracked links, in link order; empty for triggers that have none. */
  readonly links: readonly string[];
  /** The newest 50, oldest first. */
  readonly recents: readonly RecentEvent[];
}

/**
 * The notification as it is sent: compact JSON, members in the page's order, which `JSON.stringify(JSON.parse(…))`
 * gives back unchanged because some receivers verify signatures over that.
 */
export function renderPayload(state: NotificationState, attempt: number): string {
  return JSON.stringify({
    specversion: '1.0',
    type: state.trigger,
    source: '/com/nylas/tracking',
    id: wireId('ntf', state.id),
    time: seconds(state.createdAt),
    webhook_delivery_attempt: attempt,
    data: {
      application_id: state.applicationId,
      grant_id: state.grantId,
      object: OBJECTS[state.trigger](state),
    },
  });
}

const OBJECTS: Readonly<Record<RaisedTrigger, (state: NotificationState) => object>> = {
  'message.opened': (state) => ({
    object: 'message',
    grant_id: state.grantId,
    message_data: { count: state.sequence + 1, timestamp: seconds(state.happenedAt) },
    message_id: wireId('msg', state.messageId),
    label: state.label,
    recents: state.recents.map((event) => ({
      ip: event.ip,
      opened_id: event.sequence,
      timestamp: seconds(event.happenedAt),
      user_agent: event.userAgent,
      class: event.class,
      reasons: event.reasons,
    })),
    sender_app_id: state.applicationId,
    timestamp: seconds(state.happenedAt),
  }),
  'message.link_clicked': (state) => ({
    object: 'message',
    grant_id: state.grantId,
    link_data: state.links.map((url, index) => ({ count: state.linkCounts?.[index] ?? 0, url })),
    message_id: wireId('msg', state.messageId),
    label: state.label,
    recents: state.recents.map((event) => ({
      click_id: String(event.sequence),
      ip: event.ip,
      link_index: String(event.linkIndex ?? 0),
      timestamp: seconds(event.happenedAt),
      user_agent: event.userAgent,
      class: event.class,
      reasons: event.reasons,
    })),
    sender_app_id: state.applicationId,
    timestamp: seconds(state.happenedAt),
  }),
};

function seconds(at: Date): number {
  return Math.floor(at.getTime() / 1000);
}
