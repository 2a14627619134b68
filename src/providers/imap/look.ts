import type { WatchOrder } from '../watch.ts';
import type { Reached } from './cursor.ts';
import { type Desk, type FolderState, stateOf, statesOfAll } from './desk.ts';
import { type Folder, watchedFolders } from './folders.ts';
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
  /** A folder to be read, which counts as read from now on. */
  nextDue(): Folder | null;
  /** How far the folders are read by now. */
  know(reached: ReadonlyMap<string, Reached>): void;
  /** All folders are to be read. */
  all(): void;
  /** A folder has gone: the next look begins with which ones there are. */
  listAgain(): void;
  /** Selects the folder in which news are waited for. */
  home(): Promise<void>;
}

/** One STATUS each costs a server less than all its folders at once. */
const FEW = 3;
const JITTER = 0.2;

export function makeLook(wire: Wire, desk: Desk, order: WatchOrder, { listMs }: Tempo): Look {
  const { client } = wire;
  const due = new Set<string>();
  let folders: readonly Folder[] = [];
  let known: ReadonlyMap<string, Reached> = new Map();
  const clean = new Map<string, number>();
  let [lookAt, listAt] = [0, 0];
  let knowsListStatus = client.capabilities.has('LIST-STATUS');

  const list = async (): Promise<void> => {
    folders = watchedFolders(client, await wire.list(), order.folders);
    listAt = Date.now() + listMs;
    for (const path of due) if (!folders.some((folder) => folder.path === path)) due.delete(path);
  };

  const states = async (asked: readonly Folder[]): Promise<Map<string, FolderState>> => {
    if (asked.length > FEW && knowsListStatus) {
      try {
        const all = await statesOfAll(wire);
        return new Map(
          asked.flatMap(({ path, listed }) => {
            const state = all.get(listed);
            return state === undefined ? [] : [[path, state]];
          }),
        );
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        knowsListStatus = false;
      }
    }
    const found = new Map<string, FolderState>();
    for (const { path } of asked) {
      const state = await stateOf(wire, path);
      if (state !== null) found.set(path, state);
    }
    return found;
  };

  const isBehind = (path: string, { validity, uidNext, modseq }: FolderState): boolean => {
    const reached = known.get(path);
    if (modseq !== '' && reached?.modseq === modseq && reached.validity === validity) return false;
    return reached === undefined || reached.validity !== validity || uidNext === 0 || uidNext > reached.uid + 1;
  };

  return {
    due,
    cleanAt: (path) => clean.get(path) ?? 0,
    isDue: () => Date.now() >= lookAt,
    untilDue: () => Math.max(0, lookAt - Date.now()),
    hasten(ms) {
      lookAt = Math.min(lookAt, Date.now() + ms);
    },
    async at(reached, pollMs) {
      const began = Date.now();
      known = reached;
      if (began >= listAt) await list();
      for (const path of reached.keys()) if (!folders.some((folder) => folder.path === path)) reached.delete(path);
      const { opened } = desk;
      if (opened !== null) await wire.run('NOOP', []); // says what is new in the selected folder
      const others = folders.filter(({ path }) => path !== opened?.path);
      for (const [path, state] of await states(others)) {
        if (isBehind(path, state)) due.add(path);
        else if (!due.has(path)) clean.set(path, began);
      }
      if (opened !== null && folders.some(({ path }) => path === opened.path)) {
        if (!reached.has(opened.path)) due.add(opened.path);
        else if (!due.has(opened.path)) clean.set(opened.path, began);
      }
      lookAt = began + pollMs * (1 - JITTER + 2 * JITTER * Math.random());
    },
    nextDue() {
      const folder = folders.find(({ path }) => due.has(path)) ?? null;
      if (folder === null) due.clear();
      else due.delete(folder.path);
      return folder;
    },
    know(reached) {
      known = reached;
    },
    all() {
      for (const { path } of folders) due.add(path);
      clean.clear();
    },
    listAgain() {
      listAt = 0;
    },
    async home() {
      const [first] = folders;
      if (first === undefined || desk.opened?.path === first.path) return;
      const opened = await desk.open(first.path);
      if (opened === null) throw new Error('the folder could not be opened');
      if (isBehind(first.path, opened)) due.add(first.path);
    },
  };
}
