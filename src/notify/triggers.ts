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

/** The triggers of facts that this service raises. */
export const RAISED = [
  'message.opened',
  'message.link_clicked',
  'thread.replied',
  'message.send_success',
  'message.send_failed',
  'message.bounce_detected',
  'message.created',
  'grant.created',
  'grant.updated',
  'grant.expired',
  'grant.deleted',
] as const satisfies readonly Trigger[];

export type RaisedTrigger = (typeof RAISED)[number];

/** Facts that are told in the shape of the API's version 2 as well, under a name of its own. */
const LEGACY = {
  'message.opened': 'message.opened.legacy',
  'message.link_clicked': 'message.link_clicked.legacy',
  'thread.replied': 'thread.replied.legacy',
} as const satisfies { readonly [Name in RaisedTrigger]?: Trigger };

/** What a notification may be called. */
export type ToldTrigger = RaisedTrigger | (typeof LEGACY)[keyof typeof LEGACY];

export const TOLD: readonly ToldTrigger[] = [...RAISED, ...Object.values(LEGACY)];

/** Every name under which a fact is told to who subscribes to it; none where it is not known to this version. */
export function namesOfFact(trigger: string): readonly ToldTrigger[] {
  return NAMES.get(trigger) ?? [];
}

const NAMES: ReadonlyMap<string, readonly ToldTrigger[]> = new Map(
  RAISED.map((trigger) => [trigger, hasLegacy(trigger) ? [trigger, LEGACY[trigger]] : [trigger]]),
);

function hasLegacy(trigger: RaisedTrigger): trigger is keyof typeof LEGACY {
  return trigger in LEGACY;
}

export function isTrigger(text: string): text is Trigger {
  return TRIGGERS.some((trigger) => trigger === text);
}
