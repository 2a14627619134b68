import type { Sender } from '../grants/senders.ts';
import type { Outgoing, Tracking } from './outgoing.ts';
import { sandboxRefusal, tooLargeRefusal } from './refusals.ts';

const LABEL = 2048;
const METADATA = { pairs: 50, key: 40, value: 500 };

/** Refuses what may not be tracked (D5) or recorded (D6; lengths in characters as PostgreSQL counts them). */
export function checkTracking(
  { environment }: Pick<Sender, 'environment'>,
  { tracking, metadata }: Pick<Outgoing, 'tracking' | 'metadata'>,
): void {
  if (environment === 'sandbox' && isTracked(tracking)) throw sandboxRefusal();
  if ([...tracking.label].length > LABEL) {
    throw tooLargeRefusal(tracking, 'tracking_options.label', `must have at most ${LABEL} characters.`);
  }
  const pairs = Object.entries(metadata);
  if (pairs.length > METADATA.pairs) {
    throw tooLargeRefusal(tracking, 'metadata', `must have at most ${METADATA.pairs} pairs.`);
  }
  for (const [key, value] of pairs) {
    if ([...key].length > METADATA.key) {
      throw tooLargeRefusal(tracking, 'metadata', `must have keys of at most ${METADATA.key} characters.`);
    }
    if ([...value].length > METADATA.value) {
      throw tooLargeRefusal(tracking, `metadata.${key}`, `must have at most ${METADATA.value} characters.`);
    }
  }
}

function isTracked({ opens, links, threadReplies }: Tracking): boolean {
  return opens || links || threadReplies;
}
