import type { Query } from '../db/pool.ts';
import type { Grant } from '../grants/grants.ts';
import { fromWireId, wireId } from '../ids.ts';
import type { MailContent, WantedMail } from '../providers/watch.ts';
import { type KnownMail, keepPlace, knownInThread } from '../replies/known-mail.ts';
import { parties } from '../replies/mail-detail.ts';
import type { Party } from '../tracking/send-facts.ts';
import { type ThreadMessage, threadMessages } from '../tracking/thread-messages.ts';
import { STANDARD } from './mail-wire.ts';
import { readMail } from './read-mail.ts';
import { findNamed, readNamed, type ShownMail, type ShownMailDeps, sentAt, showMail } from './shown-mail.ts';

/** Of a longer thread the newest are shown. */
const MOST_MEMBERS = 1000;
/** So many of them are read in the mailbox. */
const MOST_READ = 50;

interface Member {
  /** UUIDv7. */
  readonly id: string;
  readonly at: Date;
  /** Written by the grant's owner. */
  readonly isOwn: boolean;
  /** Null where only its copy in the mailbox says so. */
  readonly subject: string | null;
  readonly wanted: WantedMail;
  /** Null for a message of ours, which is there even when its copy is not. */
  readonly mail: KnownMail | null;
}

/** A member together with what was found of it. */
interface Present extends Member {
  readonly content: MailContent | null;
}

/**
 * The thread object, without nulls. Null where there is no such thread, or nothing of it is left. People, folders and flags
 * are those of the mails that are read.
 */
export async function showThread(
  deps: ShownMailDeps,
  grant: Grant,
  id: string,
  gone: AbortSignal,
): Promise<object | null> {
  const members = fromWireId('thr', id) === null ? [] : await membersOf(deps.sql, grant, id);
  if (members.length === 0) return null;
  const asked = members.slice(-MOST_READ);
  const wanted = asked.map(({ wanted: each }, at) => ({ ...each, withBody: at === asked.length - 1 }));
  const contents = await readMail(deps, grant, wanted, gone);
  const read = asked.map((member, at): Present => ({ ...member, content: contents[at] ?? null })).filter(isThere);
  for (const { mail, content } of read) {
    if (mail !== null && content !== null && content.place !== mail.place)
      await keepPlace(deps.sql, mail, content.place);
  }
  const newest = await newestOf(deps, grant, read, members.at(-1), gone);
  if (newest === null) return null;

  const all = [...members.slice(0, -asked.length), ...read];
  const found = read.flatMap(({ content }) => content ?? []);
  const received = all.findLast(({ isOwn }) => !isOwn);
  const sent = all.findLast(({ isOwn }) => isOwn);
  const first = all[0] ?? asked[0];
  return {
    id,
    object: 'thread',
    grant_id: grant.id,
    subject: first?.subject ?? found[0]?.head.subject ?? newest.detail.subject,
    snippet: newest.detail.snippet,
    participants: participantsOf(grant, read),
    message_ids: all.map((member) => wireId('msg', member.id)),
    draft_ids: [],
    folders: [...new Set(read.flatMap(({ content }) => content?.folders ?? ['SENT']))],
    has_attachments: found.some(({ attachments }) => attachments.length > 0) || newest.detail.attachments.length > 0,
    has_drafts: false,
    starred: found.some(({ starred }) => starred),
    unread: found.some(({ unread }) => unread),
    ...(first !== undefined && { earliest_message_date: seconds(first.at) }),
    ...(received !== undefined && { latest_message_received_date: seconds(received.at) }),
    ...(sent !== undefined && { latest_message_sent_date: seconds(sent.at) }),
    latest_draft_or_message: newest.wire,
  };
}

/** Oldest first. */
async function membersOf(sql: Query, { app, id: grantId }: Grant, threadId: string): Promise<Member[]> {
  const [messages, mails] = await Promise.all([
    threadMessages(sql, app, grantId, threadId, MOST_MEMBERS),
    knownInThread(sql, app, grantId, threadId, MOST_MEMBERS),
  ]);
  const ours = new Set(messages.map(({ id }) => id));
  // A message of ours that answers another one is kept as mail that was found, too.
  const members = [...messages.map(sentMember), ...mails.filter(({ id }) => !ours.has(id)).map(receivedMember)];
  return members.sort((a, b) => a.at.getTime() - b.at.getTime() || (a.id < b.id ? -1 : 1)).slice(-MOST_MEMBERS);
}

function sentMember({ id, messageId, subject }: ThreadMessage): Member {
  const wanted = { place: null, messageId, withBody: false };
  return { id, at: sentAt({ id }), isOwn: true, subject, wanted, mail: null };
}

function receivedMember(mail: KnownMail): Member {
  const { id, receivedAt, place, messageId } = mail;
  const wanted = { place, messageId, withBody: false };
  return { id, at: receivedAt, isOwn: mail.class === 'self', subject: null, wanted, mail };
}

function isThere({ content, mail }: Present): boolean {
  return content !== null || mail === null;
}

/** `asked` came with its body. Where it has gone, the one before is read once more. */
async function newestOf(
  deps: ShownMailDeps,
  grant: Grant,
  read: readonly Present[],
  asked: Member | undefined,
  gone: AbortSignal,
): Promise<ShownMail | null> {
  const newest = read.at(-1);
  const named = newest === undefined ? null : await findNamed(deps.sql, grant, wireId('msg', newest.id));
  if (newest === undefined || named === null) return null;
  const isRead = newest.content === null || newest.id === asked?.id;
  const content = isRead ? newest.content : await readNamed(deps, grant, named, gone);
  return await showMail(deps, grant, named, content, STANDARD);
}

/** Each address once, with the first name that was found for it. */
function participantsOf(grant: Grant, read: readonly Present[]): Party[] {
  const owner = { name: grant.name, email: grant.email };
  const people = read.flatMap(({ content }) =>
    content === null ? [owner] : parties([...content.head.from, ...content.head.to, ...content.head.cc]),
  );
  const known = new Map<string, Party>();
  for (const person of people) {
    const key = person.email.toLowerCase();
    const before = known.get(key);
    if (before === undefined || (before.name === '' && person.name !== '')) known.set(key, person);
  }
  return [...known.values()];
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}
