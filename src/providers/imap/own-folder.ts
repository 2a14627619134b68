import type { ImapFlow, ListResponse, NamespacesObject } from 'imapflow';
import { readFailure } from './problem.ts';
import type { OwnUse, Session } from './session.ts';

/** INBOX.Sent, mail/Sent: a folder that only bears such a name further down is somebody's archive. */
const DEEPEST_BY_NAME = 1;

/**
 * Selects the folder and returns its path; null where there is none. imapflow knows it by its attribute (RFC 6154) or
 * else by its name in many languages, the shallowest first.
 */
export async function openOwn(session: Session, use: OwnUse): Promise<string | null> {
  const { client, paths } = session;
  const known = paths.get(use);
  if (known !== undefined) {
    try {
      return await select(client, known);
    } catch (error) {
      if (!readFailure(error).missing) throw error;
      paths.delete(use); // renamed or removed since
    }
  }
  const path = ownAmong(await client.list(), client.namespaces, use)?.path;
  if (path === undefined) return null;
  paths.set(use, path);
  return select(client, path);
}

/** Makes such a folder and subscribes to it; returns its path. */
export async function createOwn({ client, paths }: Session, use: OwnUse): Promise<string> {
  const { path } = await client.mailboxCreate(paths.get(use) ?? use);
  paths.set(use, path);
  return path;
}

/** Anew each time, so that what others put there since is seen. */
async function select(client: ImapFlow, path: string): Promise<string> {
  // Not read-only: imapflow would keep \Seen back from a following APPEND then.
  await client.mailboxOpen(path);
  return path;
}

/** The folder of that use among those that are listed. */
export function ownAmong(
  listed: readonly ListResponse[],
  namespaces: NamespacesObject | undefined,
  use: OwnUse,
): ListResponse | undefined {
  const found = listed.find(({ specialUse }) => specialUse === `\\${use}`);
  if (found === undefined || found.flags.has('\\Noselect') || found.flags.has('\\NonExistent')) return undefined;
  if (found.specialUseSource === 'name' && found.parent.length > DEEPEST_BY_NAME) return undefined;
  return isForeign(found, namespaces) ? undefined : found;
}

/** Whether a folder lies among those that other people share. */
export function isForeign({ path }: ListResponse, namespaces: NamespacesObject | undefined): boolean {
  const foreign = [namespaces?.other, namespaces?.shared].flatMap((list) => list || []);
  return foreign.some(({ prefix }) => prefix !== '' && path.startsWith(prefix));
}
