// What a mail says it answers.
import type { MailHead } from '../providers/watch.ts';
import { normalId } from './mark.ts';

export interface Ancestor {
  /** As {@link normalId} has it. */
  readonly id: string;
  /** How the id may be kept where it is ours: as it was read, and as mail programs change it. */
  readonly spellings: readonly string[];
  readonly by: 'in_reply_to' | 'references';
  /** It is what the mail answers itself, not something further up. */
  readonly isDirect: boolean;
}

/** Of one mail; where References name more, their oldest, where a thread begins, and their newest. */
const MOST_DIRECT = 20;
const MOST_NEWEST = 50;
const MOST_OLDEST = 10;
/** Ids that we gave: nothing in them needs its case. */
const OURS = /^<[0-9a-f-]{36}@/i;

/** What a mail answers, nearest first: what it is an answer to, then what that answers, up to where the thread began. */
export function ancestorsOf(head: Pick<MailHead, 'messageId' | 'inReplyTo' | 'references'>): Ancestor[] {
  const references = head.references.toReversed();
  const nearest =
    references.length <= MOST_NEWEST + MOST_OLDEST
      ? references
      : [...references.slice(0, MOST_NEWEST), ...references.slice(-MOST_OLDEST)];
  const own = head.messageId === null ? null : normalId(head.messageId);
  const found = new Map<string, Ancestor>();
  const add = (written: string, by: Ancestor['by'], isDirect: boolean): void => {
    const id = normalId(written);
    if (id === null || id === own || found.has(id)) return;
    found.set(id, { id, spellings: spellingsOf(written, id), by, isDirect });
  };
  for (const written of head.inReplyTo.slice(0, MOST_DIRECT)) add(written, 'in_reply_to', true);
  const hasParent = found.size > 0;
  for (const written of nearest) add(written, 'references', !hasParent && found.size === 0);
  return [...found.values()];
}

/** The ancestors that a message of ours was sent with, nearest first. */
export function ancestorsOfOurs(ids: readonly string[]): Ancestor[] {
  return ancestorsOf({ messageId: null, inReplyTo: [], references: ids });
}

/** The spellings under which a message of ours may be kept that names itself like this. */
export function spellingsOf(written: string, id: string): string[] {
  const asRead = written.replace(/\s+/g, '').toWellFormed();
  const bracketed = asRead.startsWith('<') ? asRead : `<${asRead}>`;
  const spellings = new Set([bracketed, id]);
  if (OURS.test(id)) spellings.add(id.toLowerCase());
  return [...spellings];
}
