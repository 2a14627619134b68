// One mailbox, as long as this node has its lease: opened, followed, and opened anew when the connection is gone.
import type { GrantMailbox, GrantMailboxDeps } from '../grants/grant-mailbox.ts';
import type { Log } from '../log.ts';
import { WatchBroken, type WatchProblem } from '../providers/watch.ts';
import { failureOf } from '../tracking/failure.ts';
import { backOff } from './backoff.ts';
import type { Connects } from './connects.ts';
import { LeaseLost, noteProblem, presentable } from './leases.ts';
import { type OpenedMailbox, openWatched } from './opening.ts';
import { followMailbox, newReading, type PageCounts, type PageDeps } from './pages.ts';
import { pause, within } from './patience.ts';
import type { Claimed } from './survey.ts';

export interface WatcherDeps extends PageDeps, GrantMailboxDeps {
  readonly log: Log;
  readonly connects: Connects;
  readonly counts: WatchCounts;
}

export interface WatchCounts extends PageCounts {
  /** Mailboxes whose connection is open now. */
  connected: number;
  starts: number;
  /** Starts but the first of each watch. */
  reconnects: number;
}

export interface Watcher {
  /** When it was stopped, the lease was lost, or the grant is not valid any more. Never rejects. */
  readonly ended: Promise<void>;
  isConnected(): boolean;
  /** What was opened, or failed to open, with an earlier state of the grant is opened anew at once. */
  grantChanged(at: Date): void;
  /** It ends within a second. */
  stop(): void;
}

const DATABASE_AWAY_MS = 1_000;
/** The failure in a row that is said in the log, and how many are said no more: short blips are nobody's concern. */
const SAID_FROM = 4;
const SAID_EVERY = 24;

export function startWatcher(deps: WatcherDeps, { lease, cursor, server }: Claimed): Watcher {
  const { log, counts, times, random } = deps;
  const names = { app: lease.app, grant: lease.grantId };
  const reading = newReading(lease, cursor);
  let stopped = false;
  /** Ends what goes on now: the connection, or the wait for one. */
  let turn = new AbortController();
  let grantOf: number | null = null;
  let isConnected = false;
  let starts = 0;
  let failures = 0;
  const onStart = (): void => {
    counts.starts += 1;
    if (starts > 0) counts.reconnects += 1;
    starts += 1;
  };

  const run = async (): Promise<void> => {
    while (!stopped) {
      turn = new AbortController();
      const opening = await openWatched({ ...deps, onStart }, lease, server, turn.signal);
      if (opening.kind === 'over') return;
      if (opening.kind === 'stopped') continue;
      if (opening.kind === 'away') {
        await pause(DATABASE_AWAY_MS * (1 + random()) * times.backOffScale, turn.signal);
        continue;
      }
      grantOf = Math.max(grantOf ?? 0, opening.grantOf.getTime());
      if (opening.kind === 'failed') failures += 1;
      const problem = opening.kind === 'open' ? await follow(opening) : opening.problem;
      if (problem === 'lost') return;
      if (problem === null) continue;
      if (problem.kind === 'unauthorised' && (await expire(opening.account, problem))) return;
      await leaveAlone(problem);
    }
  };

  /** Null: stopped, or to be opened anew. */
  const follow = async (opened: OpenedMailbox): Promise<WatchProblem | 'lost' | null> => {
    const { mailbox } = opened;
    const openedAt = performance.now();
    if (failures >= SAID_FROM) log.info({ ...names, failures }, 'replies.mailbox_back');
    isConnected = true;
    counts.connected += 1;
    try {
      await followMailbox(deps, reading, mailbox, turn.signal);
      return null;
    } catch (error) {
      if (error instanceof LeaseLost) return 'lost';
      failures = performance.now() - openedAt >= times.goodLifeMs ? 0 : failures + 1;
      if (error instanceof WatchBroken) return error.problem;
      log.error({ ...names, err: error }, 'replies.watch_threw');
      return { kind: 'unreachable', reason: 'the mailbox could not be read' };
    } finally {
      isConnected = false;
      counts.connected -= 1;
      await within(mailbox.close(), { ms: times.closeMs, signal: null });
    }
  };

  /** True once the grant waits for re-authentication; false where it has other credentials by now, or that is to be seen. */
  const expire = async (account: GrantMailbox | null, problem: WatchProblem): Promise<boolean> => {
    while (account !== null && !stopped) {
      try {
        const expired = await account.expire();
        if (expired) log.warn({ ...names, reason: presentable(problem.reason) }, 'grant.expired');
        return expired;
      } catch (error) {
        if (failureOf(error).kind === 'poison') {
          log.error({ ...names, err: error }, 'replies.watch_threw');
          return false;
        }
        await pause(DATABASE_AWAY_MS * (1 + random()) * times.backOffScale, turn.signal);
      }
    }
    return false;
  };

  const leaveAlone = async (problem: WatchProblem): Promise<void> => {
    const wait = backOff(failures, random(), problem.retryAfterSeconds) * times.backOffScale;
    if (failures > 0) {
      reading.isNoted = true;
      const reason = `${problem.kind}: ${problem.reason}`;
      if ((failures - SAID_FROM) % SAID_EVERY === 0) {
        log.warn({ ...names, failures, reason: presentable(reason) }, 'replies.mailbox_failed');
      }
      // Nobody waits for what is only to be seen: the database may be away, or the lease be lost.
      noteProblem(deps.sql, lease, failures, reason).catch((error: unknown) => {
        if (failureOf(error).kind === 'poison') log.warn({ ...names, err: error }, 'replies.note_failed');
      });
    }
    await pause(wait, turn.signal);
  };

  const ended = run().catch((error: unknown) => log.error({ ...names, err: error }, 'replies.watch_ended'));
  return {
    ended,
    isConnected: () => isConnected,
    grantChanged(at) {
      if (grantOf === null || at.getTime() <= grantOf) return;
      grantOf = at.getTime();
      failures = 0;
      turn.abort();
    },
    stop() {
      stopped = true;
      turn.abort();
    },
  };
}
