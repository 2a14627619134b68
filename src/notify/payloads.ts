import type { GrantDetail } from '../grants/grant-facts.ts';
import { wireId } from '../ids.ts';
import type { RecentEvent } from '../tracking/recents.ts';
import { type GrantTrigger, isOfGrant, type RaisedTrigger, type TrackingTrigger } from './triggers.ts';

/** A notification and what its payload tells. */
export type NotificationState = TrackingState | GrantState;

interface AnyState<Told extends RaisedTrigger> {
  readonly id: string;
  readonly trigger: Told;
  /** When the notification was made. */
  readonly createdAt: Date;
  readonly applicationId: string;
  readonly grantId: string;
}

/** As things stood at its own sequence. */
export interface TrackingState extends AnyState<TrackingTrigger> {
  readonly messageId: string;
  /** 0-based number of the newest event it tells of. */
  readonly sequence: number;
  /** In link order; null where the trigger has none. */
  readonly linkCounts: readonly number[] | null;
  /** When that event happened. */
  readonly happenedAt: Date;
  /** '' for none. */
  readonly label: string;
  /** The addresses of all tracked links, in link order; empty for triggers that have none. */
  readonly links: readonly string[];
  /** The newest 50, oldest first. */
  readonly recents: readonly RecentEvent[];
}

export interface GrantState extends AnyState<GrantTrigger> {
  /** As the grant then was. */
  readonly detail: GrantDetail;
}

/**
 * The notification as it is sent: compact JSON, members in the page's order, which `JSON.stringify(JSON.parse(…))`
 * gives back unchanged because some receivers verify signatures over that.
 */
export function renderPayload(state: NotificationState, attempt: number): string {
  return JSON.stringify({
    specversion: '1.0',
    type: state.trigger,
    source: isGrantState(state) ? '/nylas/system' : '/com/nylas/tracking',
    id: wireId('ntf', state.id),
    time: seconds(state.createdAt),
    webhook_delivery_attempt: attempt,
    data: isGrantState(state)
      ? { application_id: state.applicationId, object: grantObject(state) }
      : { application_id: state.applicationId, grant_id: state.grantId, object: OBJECTS[state.trigger](state) },
  });
}

function isGrantState(state: NotificationState): state is GrantState {
  return isOfGrant(state.trigger);
}

const OBJECTS: Readonly<Record<TrackingTrigger, (state: TrackingState) => object>> = {
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

/** Contract 2.7. A connector is addressed by its provider, so that is its id. */
function grantObject({ trigger, grantId, detail }: GrantState): object {
  const { code, extra } = GRANT_NEWS[trigger](detail);
  const { provider, email } = detail;
  return { code, grant_id: grantId, integration_id: provider, provider, email, ...extra };
}

const GRANT_NEWS: Readonly<Record<GrantTrigger, (detail: GrantDetail) => { code: number; extra: object }>> = {
  'grant.created': ({ name, scope }) => ({ code: 25012, extra: { name, scope } }),
  'grant.updated': ({ reauthenticated }) => ({
    code: reauthenticated ? 25027 : 25014,
    extra: { reauthentication_flag: reauthenticated },
  }),
  'grant.expired': ({ updatedAt }) => ({ code: 25009, extra: { grant_updated_at: updatedAt } }),
  'grant.deleted': () => ({ code: 25013, extra: {} }),
};

function seconds(at: Date): number {
  return Math.floor(at.getTime() / 1000);
}
