// From the lease of a mailbox to its open connection, or why there is none.
import { type GrantMailbox, type GrantMailboxDeps, openMailbox } from '../grants/grant-mailbox.ts';
import type { WatchedMailbox, WatchOrder, WatchOutcome, WatchProblem } from '../providers/watch.ts';
import { failureOf } from '../tracking/failure.ts';
import type { Connects } from './connects.ts';
import type { Mailbox } from './leases.ts';
import { type WatchTimes, within } from './patience.ts';
import { orderFor, readWatched } from './watched-grant.ts';

export interface OpeningDeps extends GrantMailboxDeps {
  readonly connects: Connects;
  readonly times: WatchTimes;
  /** Called when a login begins. */
  readonly onStart: () => void;
}

export type Opening =
  | OpenedMailbox
  | FailedOpening
  /** The grant is not valid any more. */
  | { readonly kind: 'over' }
  /** The database could not be asked. */
  | { readonly kind: 'away' }
  | { readonly kind: 'stopped' };

export interface OpenedMailbox {
  readonly kind: 'open';
  readonly mailbox: WatchedMailbox;
  readonly account: GrantMailbox;
  /** The state of the grant that it was opened with. */
  readonly grantOf: Date;
}

export interface FailedOpening {
  readonly kind: 'failed';
  readonly problem: WatchProblem;
  /** Null where there was none to be asked. */
  readonly account: GrantMailbox | null;
  readonly grantOf: Date;
}

/** Waits for its turn. Never rejects; what opens although the signal has aborted is closed again. */
export async function openWatched(
  deps: OpeningDeps,
  mailbox: Mailbox,
  server: string,
  signal: AbortSignal,
): Promise<Opening> {
  const done = await deps.connects.permit(server, signal);
  if (done === null) return { kind: 'stopped' };
  let works: boolean | null = null;
  try {
    const ready = await within(prepare(deps, mailbox), { ms: deps.times.openMs, signal });
    if (ready === 'stopped') return { kind: 'stopped' };
    if (ready === 'over') return { kind: 'away' };
    if (ready === null) return { kind: 'over' };
    const { account, order, grantOf } = ready;
    if (account === null) {
      const problem = { kind: 'unreachable', reason: 'the grant has no credentials' } as const;
      return { kind: 'failed', problem, account, grantOf };
    }
    deps.onStart();
    const outcome = await logIn(deps, account, order, signal);
    if (outcome === 'stopped') return { kind: 'stopped' };
    works = outcome.kind === 'open' || outcome.kind === 'unauthorised';
    return outcome.kind === 'open'
      ? { kind: 'open', mailbox: outcome.mailbox, account, grantOf }
      : { kind: 'failed', problem: outcome, account, grantOf };
  } catch (error) {
    if (failureOf(error).kind === 'wait') return { kind: 'away' };
    deps.log.error({ app: mailbox.app, grant: mailbox.grantId, err: error }, 'replies.watch_threw');
    const problem = { kind: 'unreachable', reason: 'the mailbox could not be asked' } as const;
    return { kind: 'failed', problem, account: null, grantOf: new Date(0) };
  } finally {
    done(works);
  }
}

interface Ready {
  readonly account: GrantMailbox | null;
  readonly order: WatchOrder;
  readonly grantOf: Date;
}

async function prepare(deps: OpeningDeps, mailbox: Mailbox): Promise<Ready | null> {
  const watched = await readWatched(deps.sql, mailbox);
  if (watched === null) return null;
  const [account, order] = await Promise.all([openMailbox(deps, watched.grant), orderFor(deps.sql, watched)]);
  return { account, order, grantOf: watched.grant.updatedAt };
}

async function logIn(
  { log, times }: OpeningDeps,
  account: GrantMailbox,
  order: WatchOrder,
  signal: AbortSignal,
): Promise<WatchOutcome | 'stopped'> {
  const limit = new AbortController();
  const threw = (error: unknown): WatchOutcome => {
    log.error({ err: error }, 'replies.watch_threw');
    return { kind: 'unreachable', reason: 'the mailbox could not be asked' };
  };
  const opening = (async () => await account.watch(order, limit.signal))().catch(threw);
  const outcome = await within(opening, { ms: times.openMs, signal });
  if (outcome !== 'over' && outcome !== 'stopped') return outcome;
  limit.abort();
  void opening.then((late) => (late.kind === 'open' ? late.mailbox.close() : undefined));
  return outcome === 'over' ? { kind: 'unreachable', reason: 'the mailbox did not open in time' } : 'stopped';
}
