import { emit, type Fact } from '../db/outbox.ts';
import type { Tx } from '../db/pool.ts';
import { readGround } from './ground.ts';
import type { Occurrence, Trigger } from './occurrence.ts';

export type { Occurrence, Trigger };

export interface Recorded<O extends Occurrence> {
  readonly counted: number;
  readonly uncounted: number;
  /** Already known, or twice in the batch. */
  readonly duplicates: number;
  /** Of deleted grants: not stored at all (contract D12). */
  readonly dropped: number;
  /** Cannot be recorded; nothing of them was written. */
  readonly refused: readonly { readonly occurrence: O; readonly reason: string }[];
}

/**
 * Appends a batch to the ledger and numbers what counts from 0, without gaps, in the order given. Exact however many
 * nodes record at once, the same occurrences included. `tx` must be READ COMMITTED: each statement after the lock has
 * to see what the lock's last holder committed. Throws what the database throws; then nothing was recorded.
 */
export async function record<O extends Occurrence>(tx: Tx, batch: readonly O[]): Promise<Recorded<O>> {
  const occurrences = [...new Map(batch.map((occurrence) => [occurrence.id, occurrence])).values()];
  const ground = await readGround(tx, occurrences);
  const refused: { occurrence: O; reason: string }[] = [];
  const wanted: Occurrence[] = [];
  let dropped = 0;
  for (const occurrence of occurrences) {
    const judgement = ground.judge(occurrence);
    if (judgement.kind === 'dropped') dropped++;
    else if (judgement.kind === 'refused') refused.push({ occurrence, reason: judgement.reason });
    else wanted.push(judgement.stops.length > 0 ? uncountedBy(occurrence, judgement.stops) : occurrence);
  }

  const keys = keysInOrder(wanted);
  const [, counters, known] = await Promise.all([lock(tx, keys), readCounters(tx, keys), readKnown(tx, wanted)]);
  const entries: Entry[] = [];
  const moved = new Set<Counter>();
  for (const occurrence of wanted) {
    if (known.has(occurrence.id) || (occurrence.otherId !== null && known.has(occurrence.otherId))) continue;
    const counter = counters.get(keyOf(occurrence));
    if (!occurrence.counts || !counter) entries.push({ occurrence, sequence: null, linkCounts: null });
    else if (isRepeat(occurrence, counter, ground.dedupeSeconds(occurrence.app))) {
      entries.push({ occurrence: uncountedBy(occurrence, ['repeat']), sequence: null, linkCounts: null });
    } else {
      entries.push(count(counter, occurrence, ground.linkCount(occurrence)));
      moved.add(counter);
    }
  }

  const facts = entries.flatMap((entry) => factOf(entry) ?? []);
  await Promise.all([insertEvents(tx, entries), updateCounters(tx, [...moved]), emit(tx, facts)]);
  return {
    counted: facts.length,
    uncounted: entries.length - facts.length,
    duplicates: batch.length - dropped - refused.length - entries.length,
    dropped,
    refused,
  };
}

interface Counter {
  readonly app: number;
  readonly message: string;
  readonly trigger: Trigger;
  count: number;
  linkCounts: number[] | null;
  firstAt: Date | null;
  lastAt: Date | null;
}

/** A row of `events`. */
interface Entry {
  readonly occurrence: Occurrence;
  /** Null: not counted. */
  readonly sequence: number | null;
  /** Clicks per link up to and including this one. */
  readonly linkCounts: readonly number[] | null;
}

function uncountedBy(occurrence: Occurrence, reasons: readonly string[]): Occurrence {
  return { ...occurrence, counts: false, reasons: [...occurrence.reasons, ...reasons] };
}

/** A load of a pixel inside the window after the last one that counted (contract D11). */
function isRepeat(occurrence: Occurrence, counter: Counter, windowSeconds: number): boolean {
  if (occurrence.trigger !== 'message.opened' || windowSeconds <= 0 || counter.lastAt === null) return false;
  return Math.abs(occurrence.at.getTime() - counter.lastAt.getTime()) < windowSeconds * 1000;
}

function count(counter: Counter, occurrence: Occurrence, links: number): Entry {
  const sequence = counter.count++;
  const { link } = occurrence;
  if (link !== null) {
    const linkCounts = counter.linkCounts?.slice() ?? [];
    while (linkCounts.length < links) linkCounts.push(0);
    linkCounts[link] = (linkCounts[link] ?? 0) + 1;
    counter.linkCounts = linkCounts;
  }
  if (counter.firstAt === null || occurrence.at < counter.firstAt) counter.firstAt = occurrence.at;
  if (counter.lastAt === null || occurrence.at > counter.lastAt) counter.lastAt = occurrence.at;
  return { occurrence, sequence, linkCounts: counter.linkCounts };
}

function factOf({ occurrence, sequence, linkCounts }: Entry): Fact | null {
  if (sequence === null) return null;
  const { app, trigger, message: messageId, detail = null, at: happenedAt } = occurrence;
  return { app, trigger, messageId, sequence, detail, linkCounts, happenedAt };
}

type Key = Pick<Occurrence, 'app' | 'message' | 'trigger'>;

function keyOf({ app, message, trigger }: Key): string {
  return `${app} ${message} ${trigger}`;
}

/** The counters a batch may move, each once, in the order every node locks them in. */
function keysInOrder(occurrences: readonly Occurrence[]): Key[] {
  const keys = new Map<string, Key>();
  for (const occurrence of occurrences) if (occurrence.counts) keys.set(keyOf(occurrence), occurrence);
  return [...keys].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, key]) => key);
}

/**
 * Makes missing counters and locks all of them in one pass in the order given, so two nodes cannot deadlock:
 * `do update … where false` locks the row that is there and changes nothing.
 */
async function lock(tx: Tx, keys: readonly Key[]): Promise<void> {
  if (keys.length === 0) return;
  await tx`
    insert into counters as c (app, message_id, trigger)
    select app, message_id, trigger::tracking_trigger
    from unnest(
      ${list(keys.map(({ app }) => app))}::integer[],
      ${list(keys.map(({ message }) => message))}::uuid[],
      ${list(keys.map(({ trigger }) => trigger))}::text[]
    ) as key (app, message_id, trigger)
    on conflict (app, message_id, trigger) do update set count = c.count where false`;
}

/**
 * Every key's counter; one that never moved starts from nothing. Here and below `limit 1` holds the planner to one index
 * probe for each key: before its first statistics it reads the whole table instead.
 */
async function readCounters(tx: Tx, keys: readonly Key[]): Promise<Map<string, Counter>> {
  if (keys.length === 0) return new Map();
  const rows = await tx<Counter[]>`
    select key.app, key.message_id as message, key.trigger, c.count, c.link_counts as "linkCounts",
      c.first_at as "firstAt", c.last_at as "lastAt"
    from unnest(
      ${list(keys.map(({ app }) => app))}::integer[],
      ${list(keys.map(({ message }) => message))}::uuid[],
      ${list(keys.map(({ trigger }) => trigger))}::text[]
    ) as key (app, message_id, trigger)
    cross join lateral (
      select * from counters c
      where c.app = key.app and c.message_id = key.message_id and c.trigger = key.trigger::tracking_trigger limit 1
    ) as c
    where c.count > 0`;
  const counters = new Map(keys.map((key) => [keyOf(key), newCounter(key)]));
  for (const row of rows) counters.set(keyOf(row), row);
  return counters;
}

function newCounter({ app, message, trigger }: Key): Counter {
  return { app, message, trigger, count: 0, linkCounts: null, firstAt: null, lastAt: null };
}

/** Those of the batch's ids that are in the ledger. */
async function readKnown(tx: Tx, occurrences: readonly Occurrence[]): Promise<Set<string>> {
  if (occurrences.length === 0) return new Set();
  const clamped = occurrences.filter(({ otherId }) => otherId !== null);
  const rows = await tx<{ id: string }[]>`
    select wanted.id
    from unnest(
      ${list([...occurrences, ...clamped].map(({ app }) => app))}::integer[],
      ${list([...occurrences.map(({ id }) => id), ...clamped.map(({ otherId }) => otherId)])}::uuid[]
    ) as wanted (app, id)
    cross join lateral (select from events e where e.app = wanted.app and e.id = wanted.id limit 1) as found`;
  return new Set(rows.map(({ id }) => id));
}

/**
 * Without `on conflict`: the lock has settled which counted ids are new, and where another node is writing the same
 * uncounted one the batch fails as a unique violation and is run again.
 */
async function insertEvents(tx: Tx, entries: readonly Entry[]): Promise<void> {
  if (entries.length === 0) return;
  const rows = entries.map(({ occurrence }) => occurrence);
  await tx`
    insert into events
      (app, id, message_id, trigger, sequence, link_index, happened_at, ip, user_agent, class, reasons)
    select app, id, message_id, trigger::tracking_trigger, sequence, link_index, happened_at, ip, user_agent, class,
      string_to_array(reasons, ' ')
    from unnest(
      ${list(rows.map(({ app }) => app))}::integer[],
      ${list(rows.map(({ id }) => id))}::uuid[],
      ${list(rows.map(({ message }) => message))}::uuid[],
      ${list(rows.map(({ trigger }) => trigger))}::text[],
      ${list(entries.map(({ sequence }) => sequence))}::integer[],
      ${list(rows.map(({ link }) => link))}::smallint[],
      ${list(rows.map(({ at }) => at.toISOString()))}::timestamptz[],
      ${rows.map(({ ip }) => ip)}::text[],
      ${rows.map(({ userAgent }) => userAgent)}::text[],
      ${list(rows.map((row) => row.class))}::text[],
      ${rows.map(({ reasons }) => reasons.join(' '))}::text[]
    ) as entry (app, id, message_id, trigger, sequence, link_index, happened_at, ip, user_agent, class, reasons)`;
}

/** All are there; `on conflict` finds each through the index whatever the planner believes of the table. */
async function updateCounters(tx: Tx, counters: readonly Counter[]): Promise<void> {
  if (counters.length === 0) return;
  await tx`
    insert into counters (app, message_id, trigger, count, link_counts, first_at, last_at)
    select app, message_id, trigger::tracking_trigger, count, link_counts::integer[], first_at, last_at
    from unnest(
      ${list(counters.map(({ app }) => app))}::integer[],
      ${list(counters.map(({ message }) => message))}::uuid[],
      ${list(counters.map(({ trigger }) => trigger))}::text[],
      ${list(counters.map(({ count }) => count))}::integer[],
      ${counters.map(({ linkCounts }) => linkCounts && list(linkCounts))}::text[],
      ${list(counters.map(({ firstAt }) => firstAt?.toISOString() ?? null))}::timestamptz[],
      ${list(counters.map(({ lastAt }) => lastAt?.toISOString() ?? null))}::timestamptz[]
    ) as moved (app, message_id, trigger, count, link_counts, first_at, last_at)
    on conflict (app, message_id, trigger) do update
    set count = excluded.count, link_counts = excluded.link_counts, first_at = excluded.first_at,
      last_at = excluded.last_at`;
}

/**
 * An array in PostgreSQL's notation, of values that need no quoting: codes of ours, numbers, UUIDs, ISO times.
 * The driver would look through each for something to escape, a third of what a batch costs this process.
 */
function list(values: readonly (string | number | null)[]): string {
  return `{${values.map((value) => value ?? 'null').join(',')}}`;
}
