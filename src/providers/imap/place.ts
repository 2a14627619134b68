import type { Place } from '../watch.ts';

/** A mail's number in a folder, as long as the folder's numbers are valid. */
export interface Spot {
  readonly path: string;
  readonly validity: string;
  readonly uid: number;
  /** The folder keeps what the mailbox's owner sent. */
  readonly isSent: boolean;
}

export function placeOf({ path, validity, uid, isSent }: Spot): Place {
  return JSON.stringify(isSent ? [path, validity, uid, 'SENT'] : [path, validity, uid]);
}

/** Null for one that another provider said. */
export function readPlace(place: Place): Spot | null {
  let parts: unknown;
  try {
    parts = JSON.parse(place);
  } catch {
    return null;
  }
  if (!Array.isArray(parts)) return null;
  const [path, validity, uid, use]: unknown[] = parts;
  if (typeof path !== 'string' || typeof validity !== 'string') return null;
  if (typeof uid !== 'number' || !Number.isSafeInteger(uid) || uid <= 0) return null;
  return { path, validity, uid, isSent: use === 'SENT' };
}
