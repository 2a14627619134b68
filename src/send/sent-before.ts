import type { Grant } from '../grants/grants.ts';
import type { Sender } from '../grants/senders.ts';
import type { StoredMessage } from '../tracking/messages.ts';
import { type LetterDeps, written } from './letter.ts';
import type { Outgoing } from './outgoing.ts';
import type { Schedule, ScheduledMail } from './schedules.ts';
import type { Sent } from './send.ts';
import { type TrackedBodyDeps, trackable } from './tracked-body.ts';

/**
 * What `send` gave, or would have given, for a message that was sent of this same mail. Recipients that were refused are
 * not known any more; `raw` is good for its headers.
 */
export async function sentBefore(
  deps: LetterDeps & TrackedBodyDeps,
  { grant }: Pick<Sender, 'grant'>,
  mail: Outgoing,
  message: StoredMessage,
): Promise<Sent> {
  const { id, messageId, ancestors } = message;
  const before = writtenBefore(deps, grant, mail, message);
  const { date, from } = before;
  const raw = await written(deps, grant.app, { id, messageId, date, from, ancestors, mail, body: mail.body });
  return { ...before, raw };
}

/** What `schedule` gave. */
export function scheduledBefore(
  deps: TrackedBodyDeps,
  { grant }: Pick<Sender, 'grant'>,
  mail: Outgoing,
  message: StoredMessage,
  { id: scheduleId }: Pick<Schedule, 'id'>,
): ScheduledMail {
  return { ...writtenBefore(deps, grant, mail, message), scheduleId };
}

function writtenBefore(
  deps: TrackedBodyDeps,
  grant: Grant,
  mail: Outgoing,
  { id, threadId, opens, links, threadReplies, label, createdAt: date }: StoredMessage,
): Omit<Sent, 'raw'> {
  const from = mail.from ?? { email: grant.email, ...(grant.name !== '' && { name: grant.name }) };
  const { warnings } = trackable(deps, grant, mail);
  return { id, threadId, date, from, tracking: { opens, links, threadReplies, label }, warnings };
}
