// A mailbox that is open: page after page until nothing more is there, then the wait for what comes.
import { isDeepStrictEqual } from 'node:util';
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import type { Grant } from '../grants/grants.ts';
import type { TrackingSettings } from '../grants/settings.ts';
import { type Log, withoutAddresses } from '../log.ts';
import {
  type Cursor,
  type FoundMail,
  type Page,
  type Place,
  WatchBroken,
  type WatchedMailbox,
} from '../providers/watch.ts';
import { type Failure, failureOf } from '../tracking/failure.ts';
import { backOff } from './backoff.ts';
import { fence, type Lease, LeaseLost, type Portion, presentable, saveCursor } from './leases.ts';
import { pause, type WatchTimes, within } from './patience.ts';
import { readWatched } from './watched-grant.ts';

export interface SyncRun {
  readonly lease: Lease;
  readonly grant: Grant;
  readonly settings: TrackingSettings;
  readonly mailbox: WatchedMailbox;
}

/** Records what a portion comes to; where it is called again for the same mails, what it recorded stays as it is. */
export type SyncPage = (run: SyncRun, portion: Portion) => Promise<{ readonly classes: readonly string[] }>;

export interface PageDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'warn' | 'error'>;
  readonly syncPage: SyncPage;
  readonly times: WatchTimes;
  readonly random: () => number;
  readonly counts: PageCounts;
}

/** Plain numbers, only ever moved here. */
export interface PageCounts {
  pages: number;
  mails: number;
  matched: number;
  setAside: number;
}

/** How far a mailbox was read; outlives its connections. */
export interface Reading {
  readonly lease: Lease;
  cursor: Cursor | null;
  /** A problem was written down, and is over with the next page. */
  isNoted: boolean;
  /** When it was last written down that the mailbox was read to its end, by `performance.now()`. */
  syncedAt: number;
  /** Times in a row that the page after the cursor could not be dealt with. */
  failed: number;
  /** How many mails this process had dealt with when that began: none since means that the fault is not theirs. */
  mailsBefore: number;
  /** Mails of that page with which the connection broke, taken alone; set aside: {@link SET_ASIDE}. */
  readonly breaks: Map<Place, number>;
}

/** From then on its mails are taken one by one. */
const PAGE_TRIES = 5;
const LONE_TRIES = 2;
const SET_ASIDE = Number.POSITIVE_INFINITY;
/** What the database refuses for a moment only, a deadlock say, is tried so often before it counts as refused. */
const AGAIN_TRIES = 10;
const DATABASE_AWAY_MS = 1_000;
/** A good mail that comes behind a bad one waits no longer. */
const LONGEST_WAIT_MS = 60_000;
/** A mailbox that keeps saying that there may be something, and there is nothing, is asked so often. */
const CHATTER_MS = 250;
const SYNCED_EVERY_MS = 10 * 60_000;

export function newReading(lease: Lease, cursor: Cursor | null): Reading {
  return {
    lease,
    cursor,
    isNoted: true,
    syncedAt: Number.NEGATIVE_INFINITY,
    failed: 0,
    mailsBefore: 0,
    breaks: new Map(),
  };
}

/** Until the signal aborts. Throws `WatchBroken`, `LeaseLost`, and what is a bug of the mailbox. */
export async function followMailbox(
  deps: PageDeps,
  reading: Reading,
  mailbox: WatchedMailbox,
  signal: AbortSignal,
): Promise<void> {
  const { nextMs, backOffScale } = deps.times;
  while (!signal.aborted) {
    const askedAt = performance.now();
    const page = await within(mailbox.next(reading.cursor), { ms: nextMs, signal });
    if (page === 'stopped') return;
    if (page === 'over') throw silent();
    for (const folder of page.missing ?? []) noteMissing(deps, reading, folder);
    for (const place of page.skipped ?? []) noteUnreadable(deps, reading, place);
    const failure = await deal(deps, reading, mailbox, page, signal);
    if (failure === null) {
      if (!page.isLast || signal.aborted) continue;
      await within(mailbox.wait(signal), { ms: null, signal });
      const since = performance.now() - askedAt;
      if (page.mails.length === 0 && since < CHATTER_MS) await pause(CHATTER_MS - since, signal);
      continue;
    }
    const wait = failure.lost ? DATABASE_AWAY_MS * (1 + deps.random()) : backOff(reading.failed, deps.random());
    await pause(Math.min(wait, LONGEST_WAIT_MS) * backOffScale, signal);
  }
}

/** Null once the page is dealt with and its cursor kept. */
async function deal(
  deps: PageDeps,
  reading: Reading,
  mailbox: WatchedMailbox,
  page: Page,
  signal: AbortSignal,
): Promise<Failure | null> {
  const mailsBefore = deps.counts.mails;
  try {
    if (page.mails.length === 0) await keepPlace(deps, reading, page);
    else if (reading.failed < PAGE_TRIES) await sync(deps, reading, mailbox, page, signal);
    else await syncSingly(deps, reading, mailbox, page, signal);
    if (signal.aborted) return null;
  } catch (error) {
    if (error instanceof LeaseLost) throw error;
    if (reading.failed === 0) reading.mailsBefore = mailsBefore;
    if (error instanceof WatchBroken) {
      if (page.mails.length > 0) reading.failed += 1; // its mails may be what the server fails with
      throw error;
    }
    const failure = failureOf(error);
    if (!failure.lost) {
      reading.failed += 1;
      const { app, grantId } = reading.lease;
      const names = { app, grant: grantId, mails: page.mails.length, failures: reading.failed };
      deps.log.error({ ...names, code: failure.code, err: error }, 'replies.page_failed');
    }
    return failure;
  }
  reading.cursor = page.cursor;
  reading.failed = 0;
  reading.breaks.clear();
  return null;
}

/** Quiet mailboxes write next to nothing: only where something changed, and now and then that they were read. */
async function keepPlace({ sql }: PageDeps, reading: Reading, { cursor, isLast }: Portion): Promise<void> {
  const now = performance.now();
  const isNews = cursor !== null && !isDeepStrictEqual(cursor, reading.cursor);
  const isDue = isLast && now - reading.syncedAt >= SYNCED_EVERY_MS;
  if (!isNews && !isDue && !reading.isNoted) return;
  await transaction(sql, async (tx) => {
    await fence(tx, reading.lease);
    await saveCursor(tx, reading.lease, cursor, isLast);
  });
  reading.isNoted = false;
  if (isLast) reading.syncedAt = now;
}

async function sync(
  { sql, syncPage, times, counts }: PageDeps,
  reading: Reading,
  mailbox: WatchedMailbox,
  portion: Portion,
  signal: AbortSignal,
): Promise<void> {
  const work = async (): Promise<'done'> => {
    const watched = await readWatched(sql, reading.lease);
    if (watched === null) throw new LeaseLost();
    const { classes } = await syncPage({ lease: reading.lease, ...watched, mailbox }, portion);
    counts.pages += 1;
    counts.mails += portion.mails.length;
    counts.matched += classes.length;
    reading.isNoted = false;
    if (portion.isLast) reading.syncedAt = performance.now();
    return 'done';
  };
  const ended = await within(work(), { ms: times.syncMs, signal, graceMs: times.graceMs });
  if (ended === 'over') throw silent();
}

/**
 * One of these mails makes the whole page fail: the others get through, and that one is passed over. Where none gets
 * through, neither here nor in another mailbox, nothing is passed over: then it is not the mail that is at fault.
 */
async function syncSingly(
  deps: PageDeps,
  reading: Reading,
  mailbox: WatchedMailbox,
  page: Page,
  signal: AbortSignal,
): Promise<void> {
  const faulty: { readonly mail: FoundMail; readonly reason: string; readonly error: unknown }[] = [];
  for (const mail of page.mails) {
    if (signal.aborted) return;
    const breaks = reading.breaks.get(mail.place) ?? 0;
    if (breaks === SET_ASIDE) continue;
    if (breaks >= LONE_TRIES) {
      setAside(deps, reading, mail, 'the connection breaks with it');
      continue;
    }
    try {
      await sync(deps, reading, mailbox, { mails: [mail], cursor: null, isLast: false }, signal);
    } catch (error) {
      if (error instanceof LeaseLost) throw error;
      if (error instanceof WatchBroken) {
        reading.breaks.set(mail.place, breaks + 1);
        throw error;
      }
      const { kind, reason } = failureOf(error);
      // A full disk or a missing table is not the mail's fault.
      if (kind === 'wait' || (kind === 'again' && reading.failed < PAGE_TRIES + AGAIN_TRIES)) throw error;
      faulty.push({ mail, reason, error });
    }
  }
  const [first] = faulty;
  if (first !== undefined && deps.counts.mails === reading.mailsBefore) throw first.error;
  for (const { mail, reason } of faulty) setAside(deps, reading, mail, reason);
  if (!signal.aborted) await keepPlace(deps, reading, page);
}

function setAside({ log, counts }: PageDeps, reading: Reading, mail: FoundMail, reason: string): void {
  const { app, grantId: grant } = reading.lease;
  const where = { folder: presentable(mail.folder), place: presentable(mail.place), receivedAt: mail.receivedAt };
  log.error({ app, grant, ...where, size: mail.size, reason: withoutAddresses(reason) }, 'replies.mail_set_aside');
  reading.breaks.set(mail.place, SET_ASIDE);
  counts.setAside += 1;
}

/** A path of the grant's settings that was mistyped, most often. */
function noteMissing({ log }: PageDeps, { lease }: Reading, folder: string): void {
  log.warn({ app: lease.app, grant: lease.grantId, folder: presentable(folder) }, 'replies.folder_missing');
}

function noteUnreadable({ log, counts }: PageDeps, { lease }: Reading, place: Place): void {
  const names = { app: lease.app, grant: lease.grantId, place: presentable(place) };
  log.error({ ...names, reason: 'the server cannot give it' }, 'replies.mail_set_aside');
  counts.setAside += 1;
}

function silent(): WatchBroken {
  return new WatchBroken({ kind: 'unreachable', reason: 'the mailbox did not answer in time' });
}
