import { wireId } from '../ids.ts';
import { type GrantState, grantContents } from './payloads/grants.ts';
import { type LegacyTrackingState, legacyReplyContents, legacyTrackingContents } from './payloads/legacy.ts';
import { type MailState, mailContents } from './payloads/mail.ts';
import {
  type BounceState,
  bounceContents,
  type SendFailedState,
  type SentState,
  sendContents,
} from './payloads/sends.ts';
import { type Contents, seconds } from './payloads/state.ts';
import { type ReplyState, replyContents, type TrackingState, trackingContents } from './payloads/tracking.ts';

/** A notification and what its payload tells. */
export type NotificationState =
  | TrackingState
  | LegacyTrackingState
  | ReplyState
  | SentState
  | SendFailedState
  | BounceState
  | MailState
  | GrantState;

/**
 * The notification as it is sent: compact JSON, members in the page's order, which `JSON.stringify(JSON.parse(…))`
 * gives back unchanged because some receivers verify signatures over that.
 */
export function renderPayload(state: NotificationState, attempt: number): string {
  const { source, data } = contentsOf(state);
  return JSON.stringify({
    specversion: '1.0',
    type: typeOf(state),
    source,
    id: wireId('ntf', state.id),
    time: seconds(state.createdAt),
    webhook_delivery_attempt: attempt,
    data,
  });
}

/** The envelope's `type`: the trigger, and what became of the payload. */
export function typeOf(state: NotificationState): string {
  return state.trigger === 'message.created' && state.detail.body === null
    ? 'message.created.truncated'
    : state.trigger;
}

function contentsOf(state: NotificationState): Contents {
  switch (state.trigger) {
    case 'message.opened':
    case 'message.link_clicked':
      return trackingContents(state);
    case 'thread.replied':
      return replyContents(state);
    case 'message.opened.legacy':
    case 'message.link_clicked.legacy':
      return legacyTrackingContents(state);
    case 'thread.replied.legacy':
      return legacyReplyContents(state);
    case 'message.send_success':
    case 'message.send_failed':
      return sendContents(state);
    case 'message.bounce_detected':
      return bounceContents(state);
    case 'message.created':
      return mailContents(state);
    case 'grant.created':
    case 'grant.updated':
    case 'grant.expired':
    case 'grant.deleted':
      return grantContents(state);
  }
}
