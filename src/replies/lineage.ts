// From what mails name as their ancestors to the tracked message that they answer.
import type { TrackedRow } from '../tracking/threads.ts';
import { type Ancestor, ancestorsOfOurs } from './ancestry.ts';
import type { Kin } from './kin.ts';
import { normalId } from './mark.ts';

/** A mail of which the tracked message is looked for. */
export interface Descendant {
  /** Its own Message-ID as {@link normalId} has it; null for none. */
  readonly id: string | null;
  /** Nearest first. */
  readonly ancestors: readonly Ancestor[];
  /** The tracked message that it answers, where that is known. */
  readonly root: TrackedRow | null;
}

export interface Descent {
  readonly root: TrackedRow;
  /** By which ancestor the root was found. */
  readonly through: Ancestor;
  /** Of the mail that this one answers itself: its database id, or where it stands among the mails given. */
  readonly parent: string | null;
  readonly parentAt: number | null;
}

/**
 * For each mail the nearest tracked message above it. The mails may answer one another in whatever order they stand, also
 * in a circle, which only forgers make.
 */
export function traceAll(kin: Kin, mails: readonly Descendant[]): (Descent | null)[] {
  const places = placesOf(mails);
  const roots = new Map<string, TrackedRow | null>();
  const under = new Set<string>();
  let wasCut = false;

  const rootOf = (id: string): TrackedRow | null => {
    const known = roots.get(id);
    if (known !== undefined) return known;
    if (under.has(id)) {
      wasCut = true;
      return null;
    }
    under.add(id);
    const root = findRoot(id);
    under.delete(id);
    roots.set(id, root);
    return root;
  };
  const findRoot = (id: string): TrackedRow | null => {
    const ours = kin.ours.get(id);
    if (ours?.threadReplies) return ours;
    const kept = kin.roots.get(kin.received.get(id)?.rootId ?? '');
    if (kept !== undefined) return kept;
    const above = ours === undefined ? null : firstRoot(ancestorsOfOurs(ours.ancestors));
    return above ?? kin.before.get(ours?.id ?? '') ?? rootInPage(id);
  };
  const rootInPage = (id: string): TrackedRow | null => {
    for (const at of places.get(id) ?? []) {
      const mail = mails[at];
      const root = mail?.root ?? firstRoot(mail?.ancestors ?? []);
      if (root !== null) return root;
    }
    return null;
  };
  const firstRoot = (ancestors: readonly Ancestor[]): TrackedRow | null => {
    for (const { id } of ancestors) {
      const root = rootOf(id);
      if (root !== null) return root;
    }
    return null;
  };
  const trace = (mail: Descendant): Descent | null => {
    for (const through of mail.ancestors) {
      const root = rootOf(through.id);
      if (root !== null && normalId(root.messageId) !== mail.id) return { root, through, ...parentOf(mail) };
    }
    return null;
  };
  const parentOf = ({ ancestors }: Descendant): Pick<Descent, 'parent' | 'parentAt'> => {
    const direct = ancestors.filter(({ isDirect }) => isDirect);
    const ids = direct.flatMap(({ id }) => kin.ours.get(id)?.id ?? kin.received.get(id)?.id ?? []);
    const [at = null] = direct.flatMap(({ id }) => places.get(id) ?? []);
    return { parent: ids[0] ?? null, parentAt: ids.length > 0 ? null : at };
  };

  // What was asked from within a circle was answered before the circle was left: once more, while that brings anything out.
  for (let solved = -1; ; solved = roots.size) {
    wasCut = false;
    const descents = mails.map(trace);
    for (const [id, root] of roots) if (root === null) roots.delete(id);
    if (!wasCut || roots.size === solved) return descents;
  }
}

/** Where the mails with an id stand: copies have the same. */
function placesOf(mails: readonly Descendant[]): Map<string, number[]> {
  const places = new Map<string, number[]>();
  for (const [at, { id }] of mails.entries()) {
    if (id === null) continue;
    const copies = places.get(id);
    if (copies === undefined) places.set(id, [at]);
    else copies.push(at);
  }
  return places;
}
