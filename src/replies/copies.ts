// Copies of a mail: all that bear one Message-ID, which anybody may write above a mail of his own.
import type { FoundMail } from '../providers/watch.ts';
import type { AnswerClass } from './answer-class.ts';
import { markOf } from './mark.ts';

interface Copy {
  readonly mail: FoundMail;
  readonly class: AnswerClass;
}

/**
 * One of each mail, in their order. The owner's copy in Sent shows that he wrote it; else a person's answer stands before
 * the copy that a list sent on, and before whatever a stranger put there to silence it; else the first.
 */
export function oneOfEach<C extends Copy>(copies: readonly C[]): C[] {
  const best = new Map<string, C>();
  for (const copy of copies) {
    const mark = markOf(copy.mail).toString('hex');
    const known = best.get(mark);
    if (known === undefined || weightOf(known) < weightOf(copy)) best.set(mark, copy);
  }
  const chosen = new Set(best.values());
  return copies.filter((copy) => chosen.has(copy));
}

function weightOf({ mail, class: kind }: Copy): number {
  if (mail.isSent) return 2;
  return kind === 'reply' ? 1 : 0;
}
