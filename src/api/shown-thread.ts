import type { Query } from '../db/pool.ts';
import type { Grant } from '../grants/grants.ts';
import { fromWireId, wireId } from '../ids.ts';
import type { MailContent, WantedMail } from '../providers/watch.ts';
import { type KnownMail, keepPlace, knownInThread } from '../replies/known-mail.ts';
import { parties } from '../replies/mail-detail.ts';
import { type DraftOfThread, draftsInThread } from '../send/draft-list.ts';
import { findDraft } from '../send/draft-rows.ts';
import { snippet } from '../snippet.ts';
import type { Party } from '../tracking/send-facts.ts';
import { type ThreadMessage, threadMessages } from '../tracking/thread-messages.ts';
import { draftToWire } from './draft-wire.ts';
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
  if (fromWireId('thr', id) === null) return null;
  const [members, drafts] = await Promise.all([
    membersOf(deps.sql, grant, id),
    draftsInThread(deps.sql, grant, id, MOST_MEMBERS),
  ]);
  if (members.length === 0) return await draftsAlone(deps, grant, id, drafts);
  const asked = members.slice(-MOST_READ);
  const wanted = asked.map(({ wanted: each }, at) => ({ ...each, withBody: at === asked.length - 1 }));
  const contents = await readMail(deps, grant, wanted, gone);
  const read = asked.map((member, at): Present => ({ ...member, content: contents[at] ?? null })).filter(isThere);
  for (const { mail, content } of read) {
    if (mail !== null && content !== null && content.place !== mail.place)
      await keepPlace(deps.sql, mail, content.place);
  }
  const newest = await newestOf(deps, grant, read, members.at(-1), gone);
  if (newest === null) return await draftsAlone(deps, grant, id, drafts);

  const all = [...members.slice(0, -asked.length), ...read];
  const found = read.flatMap(({ content }) => content ?? []);
  const received = all.findLast(({ isOwn }) => !isOwn);
  const sent = all.findLast(({ isOwn }) => isOwn);
  const first = all[0] ?? asked[0];
  const last = all.at(-1);
  return {
    id,
    object: 'thread',
    grant_id: grant.id,
    subject: first?.subject ?? found[0]?.head.subject ?? newest.detail.subject,
    snippet: newest.detail.snippet,
    participants: participantsOf(grant, read),
    message_ids: all.map((member) => wireId('msg', member.id)),
    draft_ids: drafts.map((draft) => wireId('dft', draft.id)),
    folders: [
      ...new Set([...read.flatMap(({ content }) => content?.folders ?? ['SENT']), ...drafts.map(() => 'DRAFTS')]),
    ],
    has_attachments: found.some(({ attachments }) => attachments.length > 0) || newest.detail.attachments.length > 0,
    has_drafts: drafts.length > 0,
    starred: found.some(({ starred }) => starred),
    unread: found.some(({ unread }) => unread),
    ...(first !== undefined && { earliest_message_date: seconds(first.at) }),
    ...(received !== undefined && { latest_message_received_date: seconds(received.at) }),
    ...(sent !== undefined && { latest_message_sent_date: seconds(sent.at) }),
    latest_draft_or_message: (await newestDraft(deps, grant, drafts, last?.at)) ?? newest.wire,
  };
}

/** A thread of which nothing was sent yet, or nothing is left. */
async function draftsAlone(
  { sql }: ShownMailDeps,
  grant: Grant,
  id: string,
  drafts: readonly DraftOfThread[],
): Promise<object | null> {
  const [newest] = drafts;
  const draft = newest === undefined ? null : await findDraft(sql, grant, newest.id);
  if (draft === null) return null;
  const { mail, starred } = draft;
  return {
    id,
    object: 'thread',
    grant_id: grant.id,
    subject: mail.subject,
    snippet: snippet(mail.body, mail.isPlaintext),
    participants: onceEach(
      [mail.from ?? ownerOf(grant), ...mail.to, ...mail.cc].map(({ name = '', email }) => ({ name, email })),
    ),
    message_ids: [],
    draft_ids: drafts.map((each) => wireId('dft', each.id)),
    folders: ['DRAFTS'],
    has_attachments: mail.attachments.length > 0,
    has_drafts: true,
    starred,
    unread: false,
    earliest_message_date: seconds(drafts.at(-1)?.changedAt ?? draft.changedAt),
    latest_draft_or_message: draftToWire(grant, draft),
  };
}

/** Where it was changed after this time; null where none was. */
async function newestDraft(
  { sql }: ShownMailDeps,
  grant: Grant,
  [newest]: readonly DraftOfThread[],
  after: Date | undefined,
): Promise<object | null> {
  if (newest === undefined || (after !== undefined && newest.changedAt <= after)) return null;
  const draft = await findDraft(sql, grant, newest.id);
  return draft && draftToWire(grant, draft);
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

function sentMember({ id, messageId, subject, createdAt }: ThreadMessage): Member {
  const wanted = { place: null, messageId, withBody: false };
  return { id, at: sentAt({ id, createdAt }), isOwn: true, subject, wanted, mail: null };
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

function participantsOf(grant: Grant, read: readonly Present[]): Party[] {
  return onceEach(
    read.flatMap(({ content }) =>
      content === null ? [ownerOf(grant)] : parties([...content.head.from, ...content.head.to, ...content.head.cc]),
    ),
  );
}

function ownerOf({ name, email }: Grant): Party {
  return { name, email };
}

/** Each address once, with the first name that was found for it. */
function onceEach(people: readonly Party[]): Party[] {
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
