// Contract 2.1, 2.2 and 2.3: the pages' examples, then what we add.
import { wireId } from '../../ids.ts';
import type { RecentEvent } from '../../tracking/recents.ts';
import type { ReplyDetail } from '../../tracking/reply-facts.ts';
import { type AnyState, type Contents, seconds } from './state.ts';

/** As things stood at its own sequence. */
export interface EventState<Told extends EventName | LegacyEventName> extends AnyState<Told> {
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

export type EventName = 'message.opened' | 'message.link_clicked';
export type LegacyEventName = `${EventName}.legacy`;
export type TrackingState = EventState<EventName>;

/** The newest reply, and how many there were with it. */
export interface ReplyState extends AnyState<'thread.replied' | 'thread.replied.legacy'> {
  /** The tracked message. */
  readonly messageId: string;
  /** 0-based number of the reply. */
  readonly sequence: number;
  readonly happenedAt: Date;
  /** Of the tracked message; '' for none. */
  readonly label: string;
  readonly detail: ReplyDetail;
}

export const TRACKING_SOURCE = '/com/nylas/tracking';

export function trackingContents(state: TrackingState): Contents {
  return contents(state, state.trigger === 'message.opened' ? openedObject(state) : clickedObject(state));
}

export function replyContents(state: ReplyState): Contents {
  return contents(state, {
    object: 'thread',
    grant_id: state.grantId,
    message_id: state.detail.messageId,
    root_message_id: wireId('msg', state.messageId),
    label: state.label,
    reply_data: { count: state.sequence + 1 },
    sender_app_id: state.applicationId,
    thread_id: state.detail.threadId,
    timestamp: seconds(state.happenedAt),
    ...replyTo(state.detail),
    from_self: state.detail.fromSelf,
    auto_reply: state.detail.autoReply,
  });
}

/** Left out where it is not known: a null would be no string. */
export function replyTo({ replyToMessageId }: ReplyDetail): { readonly reply_to_message_id?: string } {
  return replyToMessageId === null ? {} : { reply_to_message_id: replyToMessageId };
}

/** Every link of the message, each with its clicks so far. */
export function linkData(state: Pick<TrackingState, 'links' | 'linkCounts'>): readonly object[] {
  return state.links.map((url, index) => ({ count: state.linkCounts?.[index] ?? 0, url }));
}

function contents({ applicationId, grantId }: TrackingState | ReplyState, object: object): Contents {
  return { source: TRACKING_SOURCE, data: { application_id: applicationId, grant_id: grantId, object } };
}

function openedObject(state: TrackingState): object {
  return {
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
  };
}

function clickedObject(state: TrackingState): object {
  return {
    object: 'message',
    grant_id: state.grantId,
    link_data: linkData(state),
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
  };
}
