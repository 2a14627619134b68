import type { WatchOrder } from '../watch.ts';
import type { Reached } from './cursor.ts';
import { type Desk, type FolderState, stateOf, statesOfAll } from './desk.ts';
import { type Folder, isNamed, watchedFolders } from './folders.ts';
import type { Tempo } from './tempo.ts';
import { Refused, type Wire } from './wire.ts';

/** Keeps in mind which folders are watched, and which of them have something new. */
export interface Look {
  /** Paths of folders to be read. */
  readonly due: Set<string>;
  /** When the folder was last seen without anything to be read, Unix milliseconds; 0 for never. */
  cleanAt(path: string): number;
  isDue(): boolean;
  untilDue(): number;
  /** The next look is no later than that. */
  hasten(ms: number): void;
  /** Looks at all folders; the next time after `pollMs`. Takes out of `reached` what is watched no more. */
  at(reached: Map<string, Reached>, pollMs: number): Promise<void>;
  /** A folder to be read, which counts as read from now on; none of those that are to wait. */
  nextDue(waiting: ReadonlySet<string>): Folder | null;
  /** Whether news are waited for in this folder. */
  isHome(path: string): boolean;
  /** How far the folders are read by now. */
  know(reached: ReadonlyMap<string, Reached>): void;
  /** All folders are to be read. */
  all(): void;
  /** Folders of the order that are not there; each once. */
  takeMissing(): readonly string[];
  /** A folder has gone: the next look begins with which ones there are. */
  listAgain(): void;
  /** Selects the folder in which news are waited for. */
  home(): Promise<void>;
}

/** One STATUS each costs a server less than all its folders at once. */
const FEW = 3;
/** One by one folders are asked for at most so long; the others have their turn at the next look. */
const ASKING_MS = 20_000;
const JITTER = 0.2;

export function makeLook(wire: Wire, desk: Desk, order: WatchOrder, { listMs, sureMs }: Tempo): Look {
  const { client } = wire;
  const due = new Set<string>();
  let folders: readonly Folder[] = [];
  let paths: ReadonlySet<string> = new Set();
  let known: ReadonlyMap<string, Reached> = new Map();
  const clean = new Map<string, number>();
  /** When a folder was last asked for alone. These times are of `performance.now()`, which nobody can set back. */
  const askedAt = new Map<string, number>();
  let [lookAt, listAt, sureAt] = [0, 0, performance.now() + sureMs];
  let knowsListStatus = client.capabilities.has('LIST-STATUS');

  const missing = new Set<string>();
  const told = new Set<string>();
  const list = async (): Promise<void> => {
    const listed = await wire.list();
    folders = watchedFolders(client, listed, order.folders);
    const there = new Set(listed.map(({ path }) => path));
    for (const path of order.folders) if (isNamed(path) && !there.has(path)) missing.add(path);
    listAt = performance.now() + listMs;
    paths = new Set(folders.map(({ path }) => path));
    for (const each of [due, clean, askedAt]) {
      for (const path of each.keys()) if (!paths.has(path)) each.delete(path);
    }
  };

  /** By path; null where the server does not say. */
  const states = async (asked: readonly Folder[]): Promise<Map<string, FolderState | null>> => {
    const found = new Map<string, FolderState | null>();
    if (asked.length > FEW && knowsListStatus) {
      try {
        const all = await statesOfAll(wire);
        for (const { path, listed } of asked) {
          const state = all.get(listed);
          if (state !== undefined) found.set(path, state);
        }
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        knowsListStatus = false;
      }
    }
    const rest = asked.filter(({ path }) => !found.has(path));
    rest.sort((one, other) => (askedAt.get(one.path) ?? 0) - (askedAt.get(other.path) ?? 0));
    const until = performance.now() + ASKING_MS;
    for (const { path } of rest) {
      if (performance.now() > until) break;
      found.set(path, await stateOf(wire, path));
      askedAt.set(path, performance.now());
    }
    return found;
  };

  const isBehind = (path: string, { validity, uidNext, modseq }: FolderState): boolean => {
    const reached = known.get(path);
    if (reached === undefined || reached.validity !== validity) return true;
    return uidNext > 0 ? uidNext > reached.uid + 1 : modseq === '' || reached.modseq !== modseq;
  };

  return {
    due,
    cleanAt: (path) => clean.get(path) ?? 0,
    isDue: () => performance.now() >= lookAt,
    untilDue: () => Math.max(0, lookAt - performance.now()),
    hasten(ms) {
      lookAt = Math.min(lookAt, performance.now() + ms);
    },
    async at(reached, pollMs) {
      const began = Date.now();
      known = reached;
      if (performance.now() >= listAt) await list();
      for (const path of reached.keys()) if (!paths.has(path)) reached.delete(path);
      const { opened } = desk;
      if (opened !== null) await wire.run('NOOP', []); // says what is new in the selected folder
      const others = folders.filter(({ path }) => path !== opened?.path);
      for (const [path, state] of await states(others)) {
        if (state === null || isBehind(path, state)) due.add(path);
        else if (!due.has(path)) clean.set(path, began);
      }
      if (opened !== null && paths.has(opened.path)) {
        const isUnsure = performance.now() >= sureAt;
        if (isUnsure) sureAt = performance.now() + sureMs;
        if (isUnsure || !reached.has(opened.path)) due.add(opened.path);
        else if (!due.has(opened.path)) clean.set(opened.path, began);
      }
      lookAt = performance.now() + pollMs * (1 - JITTER + 2 * JITTER * Math.random());
    },
    nextDue(waiting) {
      for (const path of due) if (!paths.has(path)) due.delete(path); // opened only to read a mail
      const folder = folders.find(({ path }) => due.has(path) && !waiting.has(path)) ?? null;
      if (folder !== null) due.delete(folder.path);
      return folder;
    },
    isHome: (path) => path === folders[0]?.path,
    know(reached) {
      known = reached;
    },
    all() {
      for (const { path } of folders) due.add(path);
      clean.clear();
    },
    takeMissing() {
      const news = [...missing].filter((path) => !told.has(path));
      for (const path of news) told.add(path);
      return news;
    },
    listAgain() {
      listAt = 0;
    },
    async home() {
      const [first] = folders;
      if (first === undefined) return;
      const wasOpen = desk.opened?.path === first.path;
      const opened = await desk.open(first.path);
      if (opened === null) throw new Error('the folder could not be opened');
      // It may have been opened to go on with what was found before.
      if ((!wasOpen || opened.uidNext > 0) && isBehind(first.path, opened)) due.add(first.path);
    },
  };
}
