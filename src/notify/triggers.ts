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

/** The triggers that this service raises and can render. */
export const RAISED = ['message.opened', 'message.link_clicked'] as const satisfies readonly Trigger[];

export type RaisedTrigger = (typeof RAISED)[number];

export function isTrigger(text: string): text is Trigger {
  return TRIGGERS.some((trigger) => trigger === text);
}

export function isRaised(text: string): text is RaisedTrigger {
  return RAISED.some((trigger) => trigger === text);
}
