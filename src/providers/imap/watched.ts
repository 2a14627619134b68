// A mailbox that is watched over one connection: news of its first folder come by IDLE, the others are looked at by polling.
import {
  type Page,
  type Place,
  WatchBroken,
  type WatchedMailbox,
  type WatchOrder,
  type WatchProblem,
} from '../watch.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { makeDesk } from './desk.ts';
import { beginningOf, fetchMails } from './fetched.ts';
import type { Folder } from './folders.ts';
import { makeLook } from './look.ts';
import { readPlace } from './place.ts';
import { mayPass } from './problem.ts';
import { readMails } from './read.ts';
import { endSession, type Session } from './session.ts';
import type { Setbacks } from './setbacks.ts';
import { beginStretch, pageOf, type Stretch } from './stretch.ts';
import type { Tempo } from './tempo.ts';
import { watchProblemOf } from './watch-problem.ts';
import { atom, makeWire, Refused } from './wire.ts';

export interface WatchRun {
  /** Names the mailbox to {@link Setbacks}. */
  readonly mailbox: string;
  readonly host: string;
  readonly order: WatchOrder;
  readonly tempo: Tempo;
  readonly setbacks: Setbacks;
  /** Takes out of the server's words what must not be told on. */
  clean(words: string): string;
  onClosed(): void;
}

export function watchMailbox(session: Session, run: WatchRun): WatchedMailbox {
  const { client } = session;
  const { tempo } = run;
  const wire = makeWire(client, tempo.silenceMs);
  const desk = makeDesk(wire);
  const look = makeLook(wire, desk, run.order, tempo);
  const openedAt = Date.now();
  let broken: WatchProblem | null = null;
  let isMute = !client.capabilities.has('IDLE');
  /** What is being read. */
  let stretch: Stretch | null = null;
  /** The cursor that was handed out last. */
  let handedOut: string | null = null;
  let wake = (): void => {};

  wire.onExists = () => {
    if (desk.opened !== null) look.due.add(desk.opened.path);
    wake();
  };

  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      if (broken === null) return await work();
    } catch (error) {
      broken ??= watchProblemOf(error, run.host, { bye: wire.bye, clean: run.clean });
      client.close();
    }
    throw new WatchBroken(broken ?? CLOSED);
  };

  /** Null where nothing is to be had of the folder now: it has gone, or is refused while others are given. */
  const given = async <T>({ path }: Folder, work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      const isOfFolder = error instanceof Refused && watchProblemOf(error, run.host).kind !== 'throttled';
      if (!isOfFolder || look.isHome(path)) throw error;
      return null; // its news come late, and those of the others do not
    }
  };

  const next = async (reached: ReturnType<typeof readCursor>): Promise<Page> => {
    if (look.isDue()) await look.at(reached, isMute ? tempo.mutePollMs : tempo.pollMs);
    const began = performance.now();
    /** A server may tell of news without an end, and there are none. */
    const looked = new Set<string>();
    for (;;) {
      if (stretch === null) {
        const folder = look.nextDue(looked);
        if (folder === null) return { mails: [], cursor: writeCursor(reached), isLast: true };
        looked.add(folder.path);
        const where = { folder, openedAt, cleanAt: look.cleanAt(folder.path), since: run.order.since };
        stretch = await given(folder, async () => {
          const begun = await beginStretch(wire, desk, where, reached);
          if (begun === null) look.listAgain();
          return begun;
        });
      } else {
        const { folder } = stretch;
        const reading = stretch;
        const handed = await given(folder, () => pageOf(wire, desk, reading, run));
        if (handed !== null) reached.set(folder.path, reading.reached);
        if (handed === null || reading.isOver) stretch = null;
        const { mails, skipped } = handed ?? { mails: [], skipped: [] };
        if (mails.length > 0 || skipped.length > 0) {
          const isLast = stretch === null && look.due.size === 0;
          return { mails, cursor: writeCursor(reached), isLast, ...(skipped.length > 0 && { skipped }) };
        }
      }
      // Whoever asks keeps how far that came.
      if (performance.now() - began > tempo.turnMs) return { mails: [], cursor: writeCursor(reached), isLast: false };
    }
  };

  return {
    next: (cursor) =>
      guarded(async () => {
        if (handedOut !== null && JSON.stringify(cursor) !== handedOut) {
          stretch = null; // a page was not dealt with
          look.all();
        }
        const reached = readCursor(cursor);
        const page = await next(reached);
        look.know(reached);
        handedOut = JSON.stringify(page.cursor);
        const missing = look.takeMissing();
        return missing.length === 0 ? page : { ...page, missing };
      }),

    beginnings: (places, most) =>
      guarded(async () => {
        const found = new Map<Place, Buffer>();
        const spots = places.flatMap((place) => ({ place, spot: readPlace(place) }));
        for (const path of new Set(spots.flatMap(({ spot }) => spot?.path ?? []))) {
          const opened = await desk.open(path);
          const here = new Map(
            spots.flatMap(({ place, spot }) =>
              spot !== null && spot.path === path && spot.validity === opened?.validity ? [[spot.uid, place]] : [],
            ),
          );
          const read = async (uids: readonly number[]): Promise<void> => {
            try {
              for (const [uid, { source }] of await fetchMails(wire, uids, [atom('UID'), beginningOf('', most)])) {
                const place = here.get(uid);
                if (place !== undefined && source !== undefined) found.set(place, source);
              }
            } catch (error) {
              if (!(error instanceof Refused) || mayPass(error.failure)) throw error;
              if (uids.length > 1) for (const uid of uids) await read([uid]);
            }
          };
          await read([...here.keys()]);
        }
        return found;
      }),

    read: (place) =>
      guarded(async () => (await readMails(wire, [{ place, messageId: null, withBody: true }], desk))[0] ?? null),

    wait: (signal) =>
      guarded(async () => {
        if (signal.aborted) return;
        await look.home();
        if (stretch !== null || look.due.size > 0 || look.isDue()) return;
        await new Promise<void>((resolve, reject) => {
          const idle = isMute ? null : wire.idle();
          const finish = (error?: unknown): void => {
            clearTimeout(timer);
            signal.removeEventListener('abort', leave);
            client.off('close', cut);
            wake = () => {};
            idle?.end();
            if (error === undefined) resolve();
            else reject(error);
          };
          const leave = (): void => finish();
          const cut = (): void =>
            finish(Object.assign(new Error('the connection was closed'), { code: 'NoConnection' }));
          let timer = setTimeout(leave, Math.min(look.untilDue(), LONGEST_WAIT_MS));
          wake = leave;
          signal.addEventListener('abort', leave, { once: true });
          client.once('close', cut);
          idle?.ended.then(mute, (error) => (error instanceof Refused ? mute() : finish(error)));
          /** It ended what it was to go on with: from now on it is asked. */
          function mute(): void {
            if (wake !== leave) return;
            isMute = true;
            clearTimeout(timer);
            timer = setTimeout(leave, Math.min(look.untilDue(), tempo.mutePollMs, LONGEST_WAIT_MS));
            look.hasten(tempo.mutePollMs);
          }
        });
      }),

    async close() {
      broken ??= CLOSED;
      wake();
      run.onClosed();
      if (client.usable) await endSession(session);
      client.close();
    },
  };
}

/** Servers end an IDLE after 30 minutes (RFC 2177), routers forget a silent connection after five. */
const LONGEST_WAIT_MS = 240_000;
const CLOSED: WatchProblem = { kind: 'unreachable', reason: 'the watch was closed' };
