// Which tracked message a mail answers: by what its head names, by what it quotes, by the provider's thread. Never by its
// subject, which any two mails may share.
import type { Query } from '../db/pool.ts';
import { parseHead } from '../providers/mail-head.ts';
import type { FoundMail } from '../providers/watch.ts';
import { baseSubject } from '../tracking/base-subject.ts';
import {
  type MailboxOf,
  messagesByHeader,
  messagesByIds,
  type TrackedRow,
  trackedInProviderThreads,
} from '../tracking/threads.ts';
import type { TokenKeys } from '../tracking/token.ts';
import { type Ancestor, ancestorsOf, spellingsOf } from './ancestry.ts';
import { type Kin, NO_KIN, readKin } from './kin.ts';
import { type Descendant, traceAll } from './lineage.ts';
import { normalId } from './mark.ts';
import { quotedTokens } from './quoted-token.ts';

export interface Match {
  /** The tracked message; of several the nearest. */
  readonly root: TrackedRow;
  readonly by: 'in_reply_to' | 'references' | 'original' | 'token' | 'thread';
  /** What the mail answers itself, by its database id; null where that is not known, or stands in `parentMail`. */
  readonly parent: { readonly id: string } | null;
  /** The same where it is a mail of the same page that has no id yet. */
  readonly parentMail: FoundMail | null;
}

/** The clocks of the mail server and of this installation may differ by so much. */
const CLOCK_MS = 10 * 60_000;
const HEAD_BYTES = 64 * 1024;
const MOST_QUOTED = 50;
const SHORTEST_SUBJECT = 3;
/** Of the places at which a subject holds another: `aaa…` holds `aaa` at every letter. */
const MOST_PLACES = 10;

/** By In-Reply-To and References, in the order of the mails, which may answer one another. */
export async function matchByHeaders(
  sql: Query,
  mailbox: MailboxOf,
  mails: readonly FoundMail[],
): Promise<(Match | null)[]> {
  const descendants = mails.map((mail) => descendant(mail, null));
  const kin = await readKin(
    sql,
    mailbox,
    descendants.flatMap(({ ancestors }) => ancestors),
  );
  return traced(kin, mails, descendants);
}

/** Of the mails that are not found yet those which answer one that is, as one that was matched by its text. */
export function matchWithin(
  mails: readonly FoundMail[],
  found: ReadonlyMap<FoundMail, Pick<Match, 'root'>>,
): (Match | null)[] {
  const descendants = mails.map((mail) => descendant(mail, found.get(mail)?.root ?? null));
  return traced(NO_KIN, mails, descendants).map((match, at) => (descendants[at]?.root ? null : match));
}

/** The message with this Message-ID, or the tracked one above it: what a delivery report is about. `parent` is the message. */
export async function matchByMessageId(sql: Query, mailbox: MailboxOf, messageId: string): Promise<Match | null> {
  const ancestors = ancestorsOf({ messageId: null, inReplyTo: [messageId], references: [] });
  const [descent] = traceAll(await readKin(sql, mailbox, ancestors), [{ id: null, ancestors, root: null }]);
  return descent ? { root: descent.root, by: 'original', parent: idOf(descent.parent), parentMail: null } : null;
}

/**
 * By our links and pixels in the mail's text. Of several messages that it quotes the newest is the nearest, above or below
 * the others: none can be quoted by an older one.
 */
export async function matchByToken(
  { sql, keys }: { readonly sql: Query; readonly keys: TokenKeys },
  mailbox: MailboxOf & { readonly grantSerial: number },
  raw: Buffer,
): Promise<Match | null> {
  const tokens = quotedTokens(keys, raw).filter(
    ({ app, grant }) => app === mailbox.app && grant === mailbox.grantSerial,
  );
  if (tokens.length === 0) return null;
  const ids = tokens.map(({ message }) => message).sort((a, b) => (a < b ? 1 : -1));
  const rows = await messagesByIds(sql, mailbox, ids.slice(0, MOST_QUOTED));
  const head = parseHead(raw.subarray(0, HEAD_BYTES));
  const own = head.messageId === null ? null : normalId(head.messageId);
  const quoted = [...rows.values()]
    .sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
    .flatMap((row) => {
      const id = normalId(row.messageId);
      return id === null || id === own ? [] : [{ row, ancestor: quotedAncestor(id) }];
    });
  const kin = await readKin(
    sql,
    mailbox,
    [],
    quoted.map(({ row }) => row),
  );
  const ancestors = quoted.map(({ ancestor }) => ancestor);
  const [descent] = traceAll(kin, [{ id: own, ancestors, root: null }]);
  if (!descent) return null;
  // With more than one mail above it, what it answers may be another one that quotes us too.
  const isFirstAnswer = ancestorsOf(head).length <= 1;
  const nearest = quoted.find(({ ancestor }) => ancestor === descent.through)?.row.id ?? null;
  return { root: descent.root, by: 'token', parent: isFirstAnswer ? idOf(nearest) : null, parentMail: null };
}

/** By what the provider calls their threads: the newest tracked message that was there before each. In the order of the mails. */
export async function matchByThreadKeys(
  sql: Query,
  mailbox: MailboxOf,
  mails: readonly FoundMail[],
): Promise<(Match | null)[]> {
  const wanted = mails.map(({ threadKey, receivedAt }) => ({
    key: threadKey ?? '',
    by: new Date(receivedAt.getTime() + CLOCK_MS),
  }));
  const roots = await trackedInProviderThreads(sql, mailbox, wanted);
  return roots.map((root) => root && { root, by: 'thread', parent: null, parentMail: null });
}

/** Those of the mails that are messages of ours themselves. */
export async function ownMessages(
  sql: Query,
  mailbox: MailboxOf,
  mails: readonly FoundMail[],
): Promise<Map<FoundMail, TrackedRow>> {
  const named = mails.flatMap((mail) => {
    const written = mail.head.messageId;
    const id = written === null ? null : normalId(written);
    return written === null || id === null ? [] : [{ mail, spellings: spellingsOf(written, id) }];
  });
  const rows = await messagesByHeader(
    sql,
    mailbox,
    named.flatMap(({ spellings }) => spellings),
  );
  const own = new Map<FoundMail, TrackedRow>();
  for (const { mail, spellings } of named) {
    const row = spellings.map((spelling) => rows.get(spelling)).find((found) => found !== undefined);
    if (row !== undefined) own.set(mail, row);
  }
  return own;
}

/**
 * Why an unmatched mail is worth opening to look for what it quotes: its subject holds that of an open message, or it
 * answers mails that nobody here knows. `openSubjects` are base subjects.
 */
export function quotesLikely(mail: FoundMail, openSubjects: readonly string[]): 'subject' | 'answers' | null {
  const subject = baseSubject(mail.head.subject);
  if (openSubjects.some((open) => open.length >= SHORTEST_SUBJECT && holds(subject, open))) return 'subject';
  return mail.head.inReplyTo.length > 0 || mail.head.references.length > 0 ? 'answers' : null;
}

/** As words of their own: `RE: [External] Offer` holds `offer`, `special offers` does not. */
function holds(subject: string, open: string): boolean {
  let at = subject.indexOf(open);
  for (let places = 0; at >= 0 && places < MOST_PLACES; places++, at = subject.indexOf(open, at + 1)) {
    if (!isInWord(subject, at) && !isInWord(subject, at + open.length)) return true;
  }
  return false;
}

function isInWord(text: string, at: number): boolean {
  return /^[a-z0-9]{2}$/.test(text.slice(Math.max(0, at - 1), at + 1));
}

function descendant({ head }: FoundMail, root: TrackedRow | null): Descendant {
  return { id: head.messageId === null ? null : normalId(head.messageId), ancestors: ancestorsOf(head), root };
}

function traced(kin: Kin, mails: readonly FoundMail[], descendants: readonly Descendant[]): (Match | null)[] {
  return traceAll(kin, descendants).map((descent) => {
    if (descent === null) return null;
    const { root, through, parent, parentAt } = descent;
    const parentMail = parentAt === null ? null : (mails[parentAt] ?? null);
    return { root, by: through.by, parent: idOf(parent), parentMail };
  });
}

function quotedAncestor(id: string): Ancestor {
  return { id, spellings: [], by: 'references', isDirect: false };
}

function idOf(id: string | null): Match['parent'] {
  return id === null ? null : { id };
}
