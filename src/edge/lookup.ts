import { type Identity, identityOf } from '../tracking/token.ts';

export type LookUpLink = (identity: Identity) => Promise<string | null>;

export type LookedUp = { kind: 'found'; destination: string } | { kind: 'missing' } | { kind: 'unavailable' };

const WITHIN_MS = 500;
const AT_ONCE = 32;
const REMEMBERED = 1000;

/** Bounds the look-ups of link rows: a database in trouble must not pile up readers. */
export function boundedLookUp(lookUp: LookUpLink, withinMs = WITHIN_MS): (identityBytes: Buffer) => Promise<LookedUp> {
  const known = new Map<string, string>(); // least recently used first; link rows never change
  let running = 0;

  return async (identityBytes) => {
    const key = identityBytes.toString('latin1');
    const remembered = known.get(key);
    if (remembered !== undefined) {
      known.delete(key);
      known.set(key, remembered);
      return { kind: 'found', destination: remembered };
    }
    if (running >= AT_ONCE) return { kind: 'unavailable' };
    running++;
    let timer: NodeJS.Timeout | undefined;
    try {
      // Its place is free again when it ends, not when its reader has gone.
      const answer = lookUp(identityOf(identityBytes)).finally(() => {
        running--;
      });
      const overdue = new Promise<'overdue'>((resolve) => {
        timer = setTimeout(resolve, withinMs, 'overdue');
      });
      const destination = await Promise.race([answer.then((text) => ({ text })), overdue]);
      answer.catch(() => undefined);
      if (destination === 'overdue') return { kind: 'unavailable' };
      if (destination.text === null) return { kind: 'missing' };
      const oldest = known.size >= REMEMBERED ? known.keys().next().value : undefined;
      if (oldest !== undefined) known.delete(oldest);
      known.set(key, destination.text);
      return { kind: 'found', destination: destination.text };
    } catch {
      return { kind: 'unavailable' };
    } finally {
      clearTimeout(timer);
    }
  };
}
