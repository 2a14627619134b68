/** Every trigger a webhook may name, those this service never raises included: what worked with Nylas is accepted. */
export const TRIGGERS = [
  'calendar.created',
  'calendar.updated',
  'calendar.deleted',
  'event.created',
  'event.updated',
  'event.deleted',
  'grant.created',
  'grant.updated',
  'grant.deleted',
  'grant.expired',
  'grant.imap_sync_completed',
  'message.send_success',
  'message.send_failed',
  'message.bounce_detected',
  'message.created',
  'message.created.cleaned',
  'message.opened',
  'message.opened.legacy',
  'message.updated',
  'message.link_clicked',
  'message.link_clicked.legacy',
  'message.deleted',
  'message.transactional.bounced',
  'message.transactional.complaint',
  'message.transactional.delivered',
  'message.transactional.rejected',
  'message.bounced',
  'message.complaint',
  'message.delivered',
  'message.rejected',
  'thread.replied',
  'thread.replied.legacy',
  'contact.updated',
  'contact.deleted',
  'folder.created',
  'folder.updated',
  'folder.deleted',
  'booking.created',
  'booking.pending',
  'booking.rescheduled',
  'booking.cancelled',
  'booking.reminder',
  'notetaker.created',
  'notetaker.updated',
  'notetaker.deleted',
  'notetaker.meeting_state',
  'notetaker.media',
] as const;

export type Trigger = (typeof TRIGGERS)[number];

const TRACKING = ['message.opened', 'message.link_clicked'] as const satisfies readonly Trigger[];
const GRANT = [
  'grant.created',
  'grant.updated',
  'grant.expired',
  'grant.deleted',
] as const satisfies readonly Trigger[];

/** The triggers that this service raises and can render. */
export const RAISED = [...TRACKING, ...GRANT] as const satisfies readonly Trigger[];

/** About a message; counted. */
export type TrackingTrigger = (typeof TRACKING)[number];
/** About a grant. */
export type GrantTrigger = (typeof GRANT)[number];
export type RaisedTrigger = (typeof RAISED)[number];

export function isTrigger(text: string): text is Trigger {
  return TRIGGERS.some((trigger) => trigger === text);
}

export function isTracking(text: string): text is TrackingTrigger {
  return TRACKING.some((trigger) => trigger === text);
}

export function isOfGrant(text: string): text is GrantTrigger {
  return GRANT.some((trigger) => trigger === text);
}

export function isRaised(text: string): text is RaisedTrigger {
  return RAISED.some((trigger) => trigger === text);
}
