// The versions of a draft in the Drafts folder. Whatever a call was cut off in, the next one makes good: a new version is
// appended before the older ones go, and what is to go is told by its own Message-ID.
import type { ImapCompileNode } from 'imapflow/lib/handler/types.js';
import { packMessageRange } from 'imapflow/lib/tools.js';
import type { CopyOutcome, DraftCopy } from '../provider.ts';
import { append, refusal } from './append.ts';
import { deletedUids, folderNode, uidsFrom, uidsOf } from './desk.ts';
import { fetchMails } from './fetched.ts';
import { isGmail } from './folders.ts';
import { createOwn, openOwn, ownAmong } from './own-folder.ts';
import type { Session } from './session.ts';
import { atom, Refused, type Wire } from './wire.ts';

/** So few are all compared: an index may not know yet what was appended a moment ago. */
const FEW = 100;
/** Newest first; more than a few come only from servers that search loosely, and from Gmail. */
const MOST_COMPARED = 5000;
const FLAGS = ['\\Draft', '\\Seen'];

interface Version {
  readonly uid: number;
  readonly messageId: string;
  /** Marked to be removed, by us or by another program; it does not count as a draft any more. */
  readonly isDeleted: boolean;
}

/** As {@link Provider.keepDraft}. What it has thrown in, it may be called again after. */
export async function keepInDrafts(session: Session, wire: Wire, { draft, version }: DraftCopy): Promise<CopyOutcome> {
  let path = await openOwn(session, 'Drafts');
  if (path === null && version === null) return { kind: 'there' };
  const found = path === null ? [] : await versionsOf(wire, draft);
  const kept = found.findLast(({ messageId, isDeleted }) => messageId === version?.messageId && !isDeleted);
  const isNew = version !== null && kept === undefined;
  try {
    if (isNew) {
      path ??= await createOwn(session, 'Drafts');
      await append(session, { use: 'Drafts', path, flags: FLAGS, raw: version.raw });
    }
  } catch (error) {
    return refusal(error);
  }
  const older = found.filter((each) => each !== kept);
  try {
    const hasRemoved = older.length > 0 && (await remove(session, wire, older));
    return { kind: isNew || hasRemoved ? 'kept' : 'there' };
  } catch (error) {
    if (error instanceof Refused) return refusal(error);
    throw error;
  }
}

/** Those in the selected folder, ascending. */
async function versionsOf(wire: Wire, draft: string): Promise<Version[]> {
  const { client } = wire;
  const count = client.mailbox === false ? 0 : client.mailbox.exists;
  if (count === 0) return [];
  // Gmail finds whole Message-IDs alone.
  const comparesAll = count <= FEW || isGmail(client);
  const uids = comparesAll ? await uidsFrom(wire, 1) : await uidsOf(wire, [draft]);
  // SEARCH looks for a part of the header (RFC 9051 section 6.4.4).
  return (await versionsAmong(wire, uids)).filter(({ messageId }) => messageId.startsWith(`<${draft}.`));
}

async function versionsAmong(wire: Wire, uids: readonly number[]): Promise<Version[]> {
  const items = [atom('UID'), atom('FLAGS'), atom('ENVELOPE')];
  const mails = await fetchMails(wire, uids.slice(-MOST_COMPARED), items);
  return [...mails]
    .map(([uid, { envelope, flags }]) => {
      return { uid, messageId: envelope?.messageId ?? '', isDeleted: flags?.has('\\Deleted') ?? false };
    })
    .sort((one, other) => one.uid - other.uid);
}

/** Whether anything has changed; mails of others stay, also those that are marked to be removed. */
async function remove(session: Session, wire: Wire, versions: readonly Version[]): Promise<boolean> {
  if (isGmail(wire.client) && (await removeFromGmail(session, wire, versions))) return true;
  return await expunge(wire, versions);
}

async function expunge(wire: Wire, versions: readonly Version[]): Promise<boolean> {
  const marked = versions.filter(({ isDeleted }) => !isDeleted);
  if (marked.length > 0) {
    await wire.run('UID STORE', [rangeOf(marked), atom('+FLAGS.SILENT'), [atom('\\Deleted')]]);
  }
  if (wire.client.capabilities.has('UIDPLUS')) {
    await wire.run('UID EXPUNGE', [rangeOf(versions)]);
    return true;
  }
  // EXPUNGE takes all that is marked, also what its owner may still unmark: better that ours stays marked, as removed
  // mails do in most programs.
  const ours = new Set(versions.map(({ uid }) => uid));
  const isOursAlone = (await deletedUids(wire)).every((uid) => ours.has(uid));
  if (isOursAlone) await wire.run('EXPUNGE', []);
  return isOursAlone || marked.length > 0;
}

/** Gmail would archive what is expunged from Drafts: it is gone only once it is expunged from its Trash. */
async function removeFromGmail(session: Session, wire: Wire, versions: readonly Version[]): Promise<boolean> {
  const { client, paths } = session;
  const trash = paths.get('Trash') ?? ownAmong(await wire.list(), client.namespaces, 'Trash')?.path;
  if (trash === undefined) return false; // not shown to mail programs
  paths.set('Trash', trash);
  await wire.run('UID MOVE', [rangeOf(versions), folderNode(wire, trash)]);
  if ((await openOwn(session, 'Trash')) === null) return true;
  const moved = new Set(versions.map(({ messageId }) => messageId));
  const newest = (await uidsFrom(wire, 1)).slice(-FEW - versions.length);
  const left = (await versionsAmong(wire, newest)).filter(({ messageId }) => moved.has(messageId));
  if (left.length > 0) await expunge(wire, left);
  return true;
}

function rangeOf(versions: readonly Version[]): ImapCompileNode {
  return { type: 'SEQUENCE', value: packMessageRange(versions.map(({ uid }) => uid)) };
}
