import type { Cursor, CursorValue } from '../watch.ts';

/** How far a folder was read. */
export interface Reached {
  /** UIDVALIDITY: with another one the numbers mean other mails. */
  readonly validity: string;
  /** Everything up to this UID is dealt with. */
  readonly uid: number;
  /** Mail that was received earlier is not new: moved here, or met again. Unix milliseconds. */
  readonly newSince: number;
  /** HIGHESTMODSEQ as of then (RFC 7162): unchanged, nothing at all has. '' where the server has none. */
  readonly modseq: string;
}

/** By path. Whatever is not as {@link writeCursor} writes it is left out. */
export function readCursor(cursor: Cursor | null): Map<string, Reached> {
  const reached = new Map<string, Reached>();
  const { folders } = cursor ?? {};
  for (const entry of isList(folders) ? folders : []) {
    const [path, validity, uid, newSince, modseq = ''] = isList(entry) ? entry : [];
    if (typeof path !== 'string' || typeof validity !== 'string') continue;
    if (typeof uid !== 'number' || typeof newSince !== 'number' || typeof modseq !== 'string') continue;
    reached.set(path, { validity, uid, newSince, modseq });
  }
  return reached;
}

/** Paths come from the server, so they are no keys of an object. */
export function writeCursor(reached: ReadonlyMap<string, Reached>): Cursor {
  return { folders: [...reached].map(([path, at]) => [path, at.validity, at.uid, at.newSince, at.modseq]) };
}

function isList(value: CursorValue | undefined): value is readonly CursorValue[] {
  return Array.isArray(value);
}
