import type { ImapFlow, ListResponse, NamespacesObject } from 'imapflow';
import { readFailure } from './problem.ts';
import type { Session } from './session.ts';

const NEW_FOLDER = 'Sent';
/** INBOX.Sent, mail/Sent: a folder that only bears such a name further down is somebody's archive. */
const DEEPEST_BY_NAME = 1;

/**
 * Selects the Sent folder and returns its path; null where there is none. imapflow knows it by \Sent (RFC 6154) or
 * else by its name in many languages, the shallowest first.
 */
export async function openSent(session: Session): Promise<string | null> {
  if (session.sentPath !== null) {
    try {
      return await select(session.client, session.sentPath);
    } catch (error) {
      if (!readFailure(error).missing) throw error;
      session.sentPath = null; // renamed or removed since
    }
  }
  const path = await findSentPath(session.client);
  if (path === null) return null;
  session.sentPath = path;
  return select(session.client, path);
}

/** Makes a Sent folder and subscribes to it; returns its path. */
export async function createSent(session: Session): Promise<string> {
  const { path } = await session.client.mailboxCreate(session.sentPath ?? NEW_FOLDER);
  session.sentPath = path;
  return path;
}

/** Anew each time, so that what others put there since is seen. */
async function select(client: ImapFlow, path: string): Promise<string> {
  // Not read-only: imapflow would keep \Seen back from a following APPEND then.
  await client.mailboxOpen(path);
  return path;
}

async function findSentPath(client: ImapFlow): Promise<string | null> {
  return sentAmong(await client.list(), client.namespaces)?.path ?? null;
}

/** The Sent folder of those that are listed. */
export function sentAmong(
  listed: readonly ListResponse[],
  namespaces: NamespacesObject | undefined,
): ListResponse | undefined {
  const found = listed.find(({ specialUse }) => specialUse === '\\Sent');
  if (found === undefined || found.flags.has('\\Noselect') || found.flags.has('\\NonExistent')) return undefined;
  if (found.specialUseSource === 'name' && found.parent.length > DEEPEST_BY_NAME) return undefined;
  return isForeign(found, namespaces) ? undefined : found;
}

/** Whether a folder lies among those that other people share. */
export function isForeign({ path }: ListResponse, namespaces: NamespacesObject | undefined): boolean {
  const foreign = [namespaces?.other, namespaces?.shared].flatMap((list) => list || []);
  return foreign.some(({ prefix }) => prefix !== '' && path.startsWith(prefix));
}
