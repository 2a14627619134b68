// What of a folder is to be read: found by one search, then handed out in pages.
import type { FoundMail, Place } from '../watch.ts';
import type { Reached } from './cursor.ts';
import { type Desk, stateOf, uidsFrom, uidsSince } from './desk.ts';
import { type Folder, folderName } from './folders.ts';
import { type FetchedHead, fetchHeads } from './heads.ts';
import { placeOf } from './place.ts';
import type { Setbacks } from './setbacks.ts';
import { Refused, type Wire } from './wire.ts';

export interface Stretch {
  readonly folder: Folder;
  readonly validity: string;
  readonly newSince: number;
  /** Ascending; taken from as they are read. */
  readonly uids: number[];
  /** How far the folder is read with what was handed out. */
  reached: Reached;
  isOver: boolean;
  readonly end: Reached;
}

export interface Where {
  readonly folder: Folder;
  /** When the mailbox was opened, and when the folder was last seen without anything to be read; Unix milliseconds. */
  readonly openedAt: number;
  readonly cleanAt: number;
  /** From when on a folder is read that was not read before. */
  readonly since: Date;
}

/** Clocks differ, and a mail may be on its way through a server for a while after the server dated it. */
const SLACK_MS = 600_000;
/** A mail that was written so long before it came was copied here: servers try for five days at the most (RFC 5321 section 4.5.4.1). */
const LONGEST_WAY_MS = 5 * 86_400_000;
const DAY_MS = 86_400_000;

/** Null where the folder has gone. */
export async function beginStretch(
  wire: Wire,
  desk: Desk,
  { folder, openedAt, cleanAt, since }: Where,
  known: ReadonlyMap<string, Reached>,
): Promise<Stretch | null> {
  const opened = await desk.open(folder.path);
  if (opened === null) return null;
  const { validity } = opened;
  const before = known.get(folder.path);
  const at = Date.now();
  const others = [...known.values()].map(({ newSince }) => newSince);
  const newSince = Math.max(
    before?.newSince ?? (others.length > 0 ? Math.min(...others) : openedAt),
    cleanAt - SLACK_MS,
  );
  let uids: number[];
  let last = opened.uidNext - 1;
  if (before?.validity === validity) {
    uids = await uidsFrom(wire, before.uid + 1);
    last = Math.max(last, before.uid);
  } else {
    // Before the numbers changed it may not have been read to its end.
    const until = before === undefined ? since.getTime() : Math.min(since.getTime(), before.newSince - DAY_MS);
    uids = await uidsSince(wire, new Date(until));
    if (last < 0) last = ((await stateOf(wire, folder.path))?.uidNext ?? 0) - 1;
    if (last < 0) last = (await uidsFrom(wire, 1)).at(-1) ?? 0;
  }
  return {
    folder,
    validity,
    newSince,
    uids,
    reached: before ?? { validity, uid: 0, newSince, modseq: '' },
    isOver: false,
    end: { validity, uid: Math.max(last, uids.at(-1) ?? 0), newSince: at - SLACK_MS, modseq: opened.modseq },
  };
}

export interface Handed {
  readonly mails: readonly FoundMail[];
  /** Mails that cannot be read. */
  readonly skipped: readonly Place[];
}

/** The next mails of a stretch, by one FETCH. */
export async function pageOf(
  wire: Wire,
  desk: Desk,
  stretch: Stretch,
  { mailbox, setbacks }: { readonly mailbox: string; readonly setbacks: Setbacks },
): Promise<Handed> {
  const { folder, validity, uids } = stretch;
  const placed = (uid: number): Place => placeOf({ ...folder, validity, uid });
  const key = JSON.stringify([mailbox, folder.path, validity]);
  const [first] = uids;
  const most = first === undefined ? 0 : setbacks.most(key, first);
  let some = uids.splice(0, Math.max(1, most));
  let handed: Handed = { mails: [], skipped: [] };
  if (first !== undefined && most === 0) handed = { mails: [], skipped: [placed(first)] };
  else if (some.length > 0) {
    const opened = await desk.open(folder.path); // another one may have been read in meanwhile
    if (opened?.validity !== validity) throw new Error('the folder has gone');
    try {
      const { heads, unreadable, refused } = await fetchHeads(wire, some);
      const [hole] = refused;
      if (hole !== undefined) {
        setbacks.failed(key, [hole]);
        uids.unshift(...some.filter((uid) => uid >= hole));
        some = some.filter((uid) => uid < hole);
        if (some.length === 0) throw new Error('the server refuses a mail');
      }
      const readable = heads.filter((found) => isMail(found) && some.includes(found.uid));
      const mails = readable.map((found) => foundMail(found, stretch, placed(found.uid)));
      handed = { mails, skipped: unreadable.filter((uid) => some.includes(uid)).map(placed) };
    } catch (error) {
      if (some.length > 0 && !(error instanceof Refused)) setbacks.failed(key, some);
      throw error;
    }
  }
  setbacks.passed(key, some);
  stretch.isOver = uids.length === 0;
  stretch.reached = stretch.isOver
    ? stretch.end
    : { validity, uid: some.at(-1) ?? 0, newSince: stretch.newSince, modseq: '' };
  return handed;
}

function isMail({ flags, labels }: FetchedHead): boolean {
  return ![...flags, ...labels].some((mark) => /^\\drafts?$/i.test(mark));
}

function foundMail(found: FetchedHead, { folder, newSince }: Stretch, place: Place): FoundMail {
  const labels = new Set([...found.labels].map((label) => label.toLowerCase()));
  const isSent = folder.isSent || (folder.holdsAll && labels.has('\\sent'));
  const { receivedAt, size, threadKey, head } = found;
  const written = head.writtenAt?.getTime() ?? newSince;
  return {
    place,
    folder: folder.holdsAll && labels.has('\\inbox') ? 'INBOX' : folderName({ path: folder.path, isSent }),
    isSent,
    isNew: receivedAt.getTime() >= newSince && written >= newSince - LONGEST_WAY_MS,
    receivedAt,
    size,
    threadKey,
    head,
  };
}
