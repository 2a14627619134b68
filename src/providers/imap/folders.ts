// Which folders of a mailbox are watched and searched, and what the API calls them.
import type { ImapFlow, ListResponse } from 'imapflow';
import { isForeign, ownAmong } from './own-folder.ts';

export interface Folder {
  readonly path: string;
  /** Its name as the server writes it. */
  readonly listed: string;
  readonly isSent: boolean;
  /** Gmail's: every mail but spam and what was thrown away, and labels say what else it is. */
  readonly holdsAll: boolean;
}

/** What `order.folders` says for every folder in which others' mail may lie. */
const EVERY = '*';
const NOT_MAIL_OF_OTHERS = new Set(['\\Drafts', '\\Trash', '\\Junk', '\\Flagged']);
/** A folder more is an exchange more, and stands in the cursor. */
const MOST_WATCHED = 1000;
const LONGEST_PATH = 1000;
const TEMPLATES = /^(templates|vorlagen|modèles|modelli|plantillas|sjablonen|outbox)$/i;

/**
 * INBOX, Sent, and the archive, or else the folder that shows everything; those that are named. The first one is where
 * news are waited for. A named folder that is not there is left out.
 */
export function watchedFolders(client: ImapFlow, listed: readonly ListResponse[], named: readonly string[]): Folder[] {
  const own = ownFolders(client, listed);
  const sent = ownAmong(own, client.namespaces, 'Sent');
  const wanted = new Set(named.map((path) => (/^inbox$/i.test(path) ? 'INBOX' : path)));
  const all = own.find(({ specialUse }) => specialUse === '\\All');
  if (all !== undefined && isGmail(client)) {
    const apart = own.filter(
      ({ path, specialUse }) => wanted.has(path) && (specialUse === '\\Junk' || specialUse === '\\Trash'),
    );
    return [{ ...folder(all, sent), holdsAll: true }, ...apart.map((entry) => folder(entry, sent))];
  }
  const archive = own.find((entry) => entry.specialUse === '\\Archive' && !isGuessedDeep(entry)) ?? all;
  const shunned = own.filter(({ specialUse = '' }) => NOT_MAIL_OF_OTHERS.has(specialUse));
  const isWatched = (entry: ListResponse): boolean =>
    entry === archive ||
    entry === sent ||
    wanted.has(entry.path) ||
    (wanted.has(EVERY) && entry.specialUse !== '\\All' && !TEMPLATES.test(entry.name) && !isWithin(entry, shunned));
  const watched = inOrder(own, [INBOX, ({ path }) => path === sent?.path, (entry) => entry === archive])
    .filter((entry) => INBOX(entry) || isWatched(entry))
    .slice(0, MOST_WATCHED)
    .map((entry) => folder(entry, sent));
  // It is always there (RFC 9051 section 5.1), whatever a server thinks to list.
  return listed.some(INBOX)
    ? watched
    : [{ path: 'INBOX', listed: 'INBOX', isSent: false, holdsAll: false }, ...watched];
}

/** Whether an order means one folder by this, which has to be there. */
export function isNamed(path: string): boolean {
  return path !== EVERY && !/^inbox$/i.test(path);
}

/** Every folder that holds mail, in the order in which a mail is looked for. */
export function searchedFolders(client: ImapFlow, listed: readonly ListResponse[]): Folder[] {
  const own = ownFolders(client, listed);
  const sent = ownAmong(own, client.namespaces, 'Sent');
  const all = own.find(({ specialUse }) => specialUse === '\\All');
  const first = inOrder(own, [
    (entry) => isGmail(client) && entry === all,
    INBOX,
    ({ path }) => path === sent?.path,
    ({ specialUse }) => specialUse === '\\Archive' || specialUse === '\\All',
  ]);
  const isLabel = ({ specialUse }: ListResponse): boolean =>
    all !== undefined &&
    isGmail(client) &&
    specialUse !== '\\All' &&
    specialUse !== '\\Junk' &&
    specialUse !== '\\Trash';
  return first
    .filter((entry) => !isLabel(entry))
    .map((entry) => ({ ...folder(entry, sent), holdsAll: entry === all && isGmail(client) }));
}

/** INBOX and SENT, or the path. */
export function folderName({ path, isSent }: Pick<Folder, 'path' | 'isSent'>): string {
  if (isSent) return 'SENT';
  return /^inbox$/i.test(path) ? 'INBOX' : path;
}

export function isGmail({ capabilities }: Pick<ImapFlow, 'capabilities'>): boolean {
  return capabilities.has('X-GM-EXT-1');
}

const INBOX = ({ path }: ListResponse): boolean => /^inbox$/i.test(path);

function folder(entry: ListResponse, sent: ListResponse | undefined): Folder {
  return { path: entry.path, listed: entry.pathAsListed, isSent: entry.path === sent?.path, holdsAll: false };
}

function ownFolders(client: ImapFlow, listed: readonly ListResponse[]): ListResponse[] {
  return listed.filter(
    (entry) =>
      isSayable(entry.path) &&
      ![...entry.flags].some((flag) => /^\\(noselect|nonexistent)$/i.test(flag)) &&
      !isForeign(entry, client.namespaces),
  );
}

/** What can be kept in the database; a name may be anything that its owner, or who wrote to a shared folder, thought of. */
function isSayable(path: string): boolean {
  return path !== '' && path.length <= LONGEST_PATH && path.isWellFormed() && !path.includes('\0');
}

/** A folder further down that only bears such a name is somebody's own. */
function isGuessedDeep({ specialUseSource, parent }: ListResponse): boolean {
  return specialUseSource === 'name' && parent.length > 1;
}

function isWithin(entry: ListResponse, shunned: readonly ListResponse[]): boolean {
  return shunned.some(({ path, delimiter }) => entry.path === path || entry.path.startsWith(`${path}${delimiter}`));
}

/** Those that fit the first test, those that fit the second, and so on, then the others. */
function inOrder(
  entries: readonly ListResponse[],
  tests: readonly ((entry: ListResponse) => boolean)[],
): ListResponse[] {
  return [...new Set([...tests.flatMap((test) => entries.filter(test)), ...entries])];
}
