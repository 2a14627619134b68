// Contract 1.8 and 2.4: the shape of the API's version 2. Applications read it that were written years ago, so nothing of
// ours is added. Version 2 had accounts where version 3 has grants: `account_id` and `namespace_id`, one and the same
// there, are the grant's id. The object of a delta is its `id`: the tracked message that the metadata belongs to, and
// for a reply the reply. All of them stay the same from event to event.
import { wireId } from '../../ids.ts';
import { type Contents, seconds } from './state.ts';
import {
  type EventState,
  type LegacyEventName,
  linkData,
  type ReplyState,
  replyTo,
  TRACKING_SOURCE,
} from './tracking.ts';

export interface LegacyTrackingState extends EventState<LegacyEventName> {
  /** When the first event happened (contract D10). */
  readonly firstAt: Date;
}

export function legacyTrackingContents(state: LegacyTrackingState): Contents {
  const isOpen = state.trigger === 'message.opened.legacy';
  const message = wireId('msg', state.messageId);
  return contents(state, 'message', {
    type: isOpen ? 'message.opened' : 'message.link_clicked',
    object: 'metadata',
    id: message,
    metadata: {
      ...(isOpen ? { count: state.sequence + 1 } : { link_data: linkData(state) }),
      message_id: message,
      payload: state.label,
      recents: state.recents.map((event) => ({
        id: event.sequence,
        ip: event.ip,
        ...(isOpen ? {} : { link_index: event.linkIndex ?? 0 }),
        timestamp: seconds(event.happenedAt),
        user_agent: event.userAgent,
      })),
      timestamp: seconds(state.firstAt),
    },
  });
}

/** Tells one reply, unlike the others: its time is that reply's. */
export function legacyReplyContents(state: ReplyState): Contents {
  const { detail } = state;
  return contents(state, 'thread', {
    type: 'thread.replied',
    object: 'message',
    id: detail.messageId,
    metadata: {
      from_self: detail.fromSelf,
      message_id: detail.messageId,
      payload: state.label,
      ...replyTo(detail),
      thread_id: detail.threadId,
      timestamp: seconds(state.happenedAt),
    },
  });
}

interface Delta {
  /** The trigger without its suffix. */
  readonly type: string;
  readonly object: 'metadata' | 'message';
  readonly id: string;
  readonly metadata: object;
}

function contents(
  state: LegacyTrackingState | ReplyState,
  object: 'message' | 'thread',
  { type, object: kind, id, metadata }: Delta,
): Contents {
  const { applicationId, grantId } = state;
  const about = { account_id: grantId, namespace_id: grantId, id, object: kind, attributes: null, metadata };
  const delta = { date: seconds(state.happenedAt), object: kind, type, object_data: about };
  const data = { object, grant_id: grantId, deltas: [delta] };
  return { source: TRACKING_SOURCE, data: { application_id: applicationId, grant_id: grantId, object: data } };
}
