// Which mailboxes this process watches: it looks every second for those that nobody alive does, up to its share.
import type { Sql } from '../db/pool.ts';
import type { GrantMailboxDeps } from '../grants/grant-mailbox.ts';
import type { Log } from '../log.ts';
import { failureOf } from '../tracking/failure.ts';
import { type ConnectsLimits, makeConnects } from './connects.ts';
import { endForgotten, endWatch, eraseDeleted, pruneUnrelated } from './ending.ts';
import { type Lease, type Mailbox, release, releaseAll } from './leases.ts';
import { startLooks } from './looks.ts';
import { forgetNodes, startNode } from './nodes.ts';
import type { SyncPage } from './pages.ts';
import { WATCH_TIMES, type WatchTimes, within } from './patience.ts';
import { addMissing, type Change, type Claimed, changes, claim, leasesOf, type Survey, survey } from './survey.ts';
import { startWatcher, type WatchCounts, type Watcher, type WatcherDeps } from './watcher.ts';

export interface RepliesDeps extends GrantMailboxDeps {
  readonly sql: Sql;
  /** A pool of its own, for heartbeats: they must not wait for pages of mail. */
  readonly heartbeatSql: Sql;
  readonly log: Log;
  readonly syncPage: SyncPage;
  readonly connects?: ConnectsLimits;
  readonly times?: Partial<WatchTimes>;
  readonly random?: () => number;
}

export interface RepliesCounts extends WatchCounts {
  /** Mailboxes that this node has. */
  watching: number;
}

export interface Replies {
  readonly nodeId: string;
  /** Something may be different: a grant was deleted, or a mailbox is to be watched. Cheap to call. */
  look(): void;
  readonly counts: RepliesCounts;
  /** Closes all connections and leaves the mailboxes to the others, with their cursors: 2 s at most, where the database answers. */
  stop(): Promise<void>;
}

interface Watch {
  readonly lease: Lease;
  readonly watcher: Watcher;
  isEnding: boolean;
}

const CLAIM_AT_ONCE = 500;
/** Above its share a node keeps so many, or this part of it: a mailbox more or less is not worth a new connection. */
const SLACK = 10;
const SLACK_PART = 0.05;
/** As many as the others can open in a second. */
const GIVE_AT_ONCE = 25;
/** The others are found by the next sweep. */
const END_AT_ONCE = 100;
const STOP_MS = 1_200;
const LAST_WORDS_MS = 1_000;

export function startReplies(deps: RepliesDeps): Replies {
  const { sql, log } = deps;
  const times: WatchTimes = { ...WATCH_TIMES, ...deps.times };
  const counts: RepliesCounts = {
    ...{ watching: 0, connected: 0, starts: 0, reconnects: 0 },
    ...{ pages: 0, mails: 0, matched: 0, setAside: 0 },
  };
  const random = deps.random ?? Math.random;
  const watcherDeps: WatcherDeps = { ...deps, times, random, counts, connects: makeConnects(deps.connects) };
  const node = startNode({ sql: deps.heartbeatSql, log, beatMs: times.beatMs, deadMs: times.deadMs });
  const watches = new Map<string, Watch>();
  let isStopping = false;
  let sweptAt = Number.NEGATIVE_INFINITY;
  let prunedAt = Number.NEGATIVE_INFINITY;
  let isLost = false;

  const begin = (claimed: Claimed): void => {
    const { lease } = claimed;
    const watch: Watch = { lease, watcher: startWatcher(watcherDeps, claimed), isEnding: false };
    watches.set(keyOf(lease), watch);
    counts.watching = watches.size;
    void watch.watcher.ended.then(async () => {
      watch.isEnding = true;
      if (!isStopping) await release(sql, [lease]).catch(failed); // else found by `compare`
      if (watches.get(keyOf(lease)) === watch) watches.delete(keyOf(lease)); // it may be ours again already
      counts.watching = watches.size;
    });
  };
  const end = (watch: Watch): void => {
    watch.isEnding = true;
    watch.watcher.stop();
  };

  const failed = (error: unknown): void => {
    if (failureOf(error).kind === 'poison') log.error({ err: error }, 'replies.look_failed');
    else if (!isLost) log.warn({ err: error }, 'replies.database_lost');
    isLost = true;
  };
  const follow = async (all: readonly Change[]): Promise<void> => {
    const over: Change[] = [];
    for (const change of all) {
      const watch = watches.get(keyOf(change));
      if (watch?.lease.epoch !== change.epoch) continue;
      if (change.fate === 'changed') watch.watcher.grantChanged(change.changedAt);
      else end(watch);
      if (change.fate === 'deleted' || change.fate === 'over') over.push(change);
    }
    for (const mailbox of over.slice(0, END_AT_ONCE)) await endWatch(sql, mailbox);
  };
  /** After the others may have taken what was ours, or an answer of the database was lost. */
  const compare = async (): Promise<void> => {
    const before = new Map([...watches].map(([key, { lease }]) => [key, lease.epoch]));
    const kept = new Map((await leasesOf(sql, node.id)).map((lease) => [keyOf(lease), lease]));
    for (const [key, watch] of watches) {
      if (before.has(key) && kept.get(key)?.epoch !== watch.lease.epoch) end(watch);
    }
    await release(
      sql,
      [...kept.values()].filter((lease) => before.get(keyOf(lease)) !== lease.epoch),
    );
  };
  const balance = async (seen: Survey): Promise<void> => {
    if (seen.missing > 0) await addMissing(sql);
    const share = Math.ceil(seen.open / Math.max(1, seen.live));
    const free = seen.free + seen.missing;
    const room = share - watches.size;
    if (free === 0) giveBack(share);
    else if (room > 0) for (const each of await claim(sql, node, Math.min(room, CLAIM_AT_ONCE))) begin(each);
  };
  /** A little at a time: what is given back is not watched until another node has opened it. */
  const giveBack = (share: number): void => {
    const active = [...watches.values()].filter(({ isEnding }) => !isEnding);
    if (active.length <= share + Math.max(SLACK, share * SLACK_PART)) return;
    const idleFirst = active.sort((a, b) => Number(a.watcher.isConnected()) - Number(b.watcher.isConnected()));
    for (const watch of idleFirst.slice(0, Math.min(active.length - share, GIVE_AT_ONCE))) end(watch);
  };
  const sweep = async (): Promise<void> => {
    const now = performance.now();
    if (now - sweptAt < times.sweepMs) return;
    const isPruning = now - prunedAt >= times.pruneMs;
    await compare();
    await endForgotten(sql);
    await eraseDeleted(sql, isPruning ? 'all' : 'of late');
    if (isPruning) {
      await forgetNodes(sql);
      while (!isStopping && (await pruneUnrelated(sql)));
      prunedAt = now;
    }
    sweptAt = now;
  };

  const look = async (): Promise<void> => {
    await node.known;
    const seen = await survey(sql, node);
    await follow(await changes(sql, node.id));
    if (node.wasAway() || seen.mine !== watches.size) await compare();
    if (!isStopping) await balance(seen);
    await sweep();
    isLost = false;
  };

  const looks = startLooks(times, look, failed);
  return {
    nodeId: node.id,
    look: () => looks.look(),
    counts,
    async stop() {
      isStopping = true;
      const all = [...watches.values()];
      for (const watch of all) end(watch);
      const ended = Promise.all([looks.stop(), ...all.map(({ watcher }) => watcher.ended)]);
      await within(ended, { ms: STOP_MS, signal: null });
      for (const watch of watches.values()) end(watch); // begun by the last look
      const told = (async () => {
        await releaseAll(sql, node.id);
        await node.stop();
      })().catch(failed); // else the others find out when it is silent
      await within(told, { ms: LAST_WORDS_MS, signal: null });
    },
  };
}

function keyOf({ app, grantId }: Mailbox): string {
  return `${app} ${grantId}`;
}
