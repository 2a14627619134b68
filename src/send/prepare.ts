import { requireValid } from '../grants/grants.ts';
import type { Sender } from '../grants/senders.ts';
import { wireId } from '../ids.ts';
import type { Reservation } from '../tracking/messages.ts';
import { type AnsweredThreadDeps, answeredThread } from './answered-thread.ts';
import { checkTracking } from './checks.ts';
import { messageIdHeader } from './compose.ts';
import type { Letter } from './letter.ts';
import type { Outgoing, Tracking, Warning } from './outgoing.ts';
import { type TrackedBodyDeps, trackable, trackedBody } from './tracked-body.ts';

export interface Prepared {
  readonly letter: Letter;
  /** Wire id. */
  readonly threadId: string;
  /** What is really tracked: less than was asked for where a warning says so. */
  readonly tracking: Tracking;
  readonly warnings: readonly Warning[];
  /** What is written down of it before it leaves. */
  readonly reservation: Reservation;
}

/**
 * Everything about a mail that can be settled before anything is stored. What keeps it from being sent is thrown as an
 * `ApiError`. `threadId` is that of a mail that begins a thread; a wire id.
 */
export async function prepare(
  deps: AnsweredThreadDeps & TrackedBodyDeps,
  { grant, environment, settings }: Pick<Sender, 'grant' | 'environment' | 'settings'>,
  mail: Outgoing,
  { id, date, threadId: own }: Pick<Letter, 'id' | 'date'> & { readonly threadId?: string | undefined },
): Promise<Prepared> {
  requireValid(grant);
  checkTracking({ environment }, mail);
  const thread = await answeredThread(deps, grant, mail.replyToMessageId);
  const { tracking, warnings } = trackable(deps, grant, mail);
  const { body, links } = trackedBody(deps, grant, id, mail, tracking, settings);
  const from = mail.from ?? { email: grant.email, ...(grant.name !== '' && { name: grant.name }) };
  const messageId = messageIdHeader(id, from.email);
  const threadId = thread.id ?? own ?? wireId('thr', id);
  const { ancestors } = thread;
  const message = { ...tracking, app: grant.app, id, grantId: grant.id, messageId, threadId, ancestors };
  return {
    letter: { id, messageId, date, from, ancestors, mail, body },
    threadId,
    tracking,
    warnings,
    reservation: { message: { ...message, subject: mail.subject, metadata: mail.metadata }, links },
  };
}
