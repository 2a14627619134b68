import type postgres from 'postgres';
import { arrayText } from './arrays.ts';
import type { Query, Sql, Tx } from './pool.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** Told of a subject as it then was, for the reader in the room that wrote it. */
export type FactDetail = { readonly [name: string]: Json };

/** What happened, small enough to be written with every counted event; its payload is rendered at delivery. */
export interface Fact {
  readonly app: number;
  readonly trigger: string;
  /** Null where it is not about a message. */
  readonly messageId: string | null;
  /** 0-based number of the event within (message, trigger); null where it is not a counted event. */
  readonly sequence: number | null;
  /** What it is about where that is no message. */
  readonly subject?: string | null;
  /** What is told of the subject as it then was, where it may have changed or gone at delivery. */
  readonly detail?: FactDetail | null;
  /** Clicks per link up to and including this event, in link order; null where the trigger has none. */
  readonly linkCounts: readonly number[] | null;
  readonly happenedAt: Date;
}

/** A counted event of a message. */
export interface EventFact extends Fact {
  readonly messageId: string;
  readonly sequence: number;
}

/** Where a fact stands in the outbox. */
export interface Taken extends Fact {
  readonly position: string;
}

export function isEvent(fact: Fact): fact is EventFact {
  return fact.messageId !== null && fact.sequence !== null;
}

/** Writes facts in the transaction that made them true. */
export async function emit(tx: Query, facts: readonly Fact[]): Promise<void> {
  if (facts.length === 0) return;
  await tx`
    insert into outbox (app, trigger, message_id, sequence, subject, detail, link_counts, happened_at)
    select app, trigger, message_id, sequence, subject, detail::jsonb, link_counts::integer[], happened_at
    from unnest(
      ${facts.map((fact) => fact.app)}::integer[],
      ${facts.map((fact) => fact.trigger)}::text[],
      ${facts.map((fact) => fact.messageId)}::uuid[],
      ${facts.map((fact) => fact.sequence)}::integer[],
      ${facts.map((fact) => fact.subject ?? null)}::text[],
      ${detailTexts(facts)}::text[],
      ${facts.map((fact) => fact.linkCounts && arrayText(fact.linkCounts))}::text[],
      ${facts.map((fact) => fact.happenedAt.toISOString())}::timestamptz[]
    ) as fact (app, trigger, message_id, sequence, subject, detail, link_counts, happened_at)`;
}

type Part = postgres.PendingQuery<postgres.Row[]>;

/**
 * The part of a statement that writes the facts of what the same statement made true: no round trip of its own, and no
 * transaction around it. `rows` selects app, trigger, message_id, detail and happened_at.
 */
export function emitFrom(sql: Query, rows: Part): Part {
  return sql`insert into outbox (app, trigger, message_id, detail, happened_at) ${rows}`;
}

/** As JSON texts for a parameter. Null where none has any, as counted events: `unnest` fills that up. */
export function detailTexts(facts: readonly Fact[]): (string | null)[] | null {
  if (!facts.some((fact) => fact.detail)) return null;
  return facts.map((fact) => (fact.detail ? storable(JSON.stringify(fact.detail)) : null));
}

/** What `jsonb` refuses: a NUL goes, half a surrogate pair becomes U+FFFD. Both stand in JSON as escapes alone. */
function storable(json: string): string {
  if (!json.includes('\\u')) return json;
  return json.replace(/\\(?:u0000|ud[89a-f][0-9a-f]{2}|.)/g, (written) => {
    if (written === '\\u0000') return '';
    return written.startsWith('\\ud') ? '\ufffd' : written;
  });
}

// Details of mail hold up to a megabyte each, and 500 of them at once a process could not. How large a compressed one is
// would only be known once it was read: it counts as what it can be at most.
const DETAIL_BYTES = 4_000_000;
const LARGEST_DETAIL = 1_000_000;
const MOST_COMPRESSED = 255; // LZ4's limit; PostgreSQL's own way reaches about 90

export interface Haul {
  /** In the order in which they were written. */
  readonly facts: readonly Taken[];
  /** There were fewer than asked for because their details are large: the next ones may be waiting. */
  readonly isCut: boolean;
}

export interface TakeOrder {
  readonly limit: number;
  /** Facts of any other trigger stay: a newer process beside this one knows what to do with them. */
  readonly triggers: readonly string[];
  /** Only those at these positions. */
  readonly among?: readonly string[] | undefined;
}

/**
 * Takes the oldest facts that no other process is taking; gone for good when `tx` commits. Those set aside stay.
 */
export async function take(tx: Tx, { limit, triggers, among }: TakeOrder): Promise<Haul> {
  const rows = await tx<(Taken & { readonly upTo: string })[]>`
    delete from outbox
    using (
      select position, size, sum(size) over (order by position) as up_to
      from (
        select position, case
            when pg_column_compression(detail) is null then coalesce(pg_column_size(detail), 0)
            else greatest(least(pg_column_size(detail) * ${MOST_COMPRESSED}::bigint, ${LARGEST_DETAIL}),
              pg_column_size(detail))
          end as size
        from outbox
        where failed_at is null and trigger = any(${[...triggers]})
          ${among === undefined ? tx`` : tx`and position = any(${[...among]}::bigint[])`}
        order by position limit ${limit} for update skip locked
      ) as locked
    ) as oldest
    where outbox.position = oldest.position and up_to - size < ${DETAIL_BYTES}
    returning outbox.position, app, trigger, message_id as "messageId", sequence, subject, detail,
      link_counts as "linkCounts", happened_at as "happenedAt", up_to as "upTo"`;
  const facts = [...rows].sort((a, b) => Number(a.position) - Number(b.position));
  return { facts, isCut: Number(facts.at(-1)?.upTo ?? 0) >= DETAIL_BYTES };
}

/** Leaves a fact where it is and out of every later `take`, until someone clears its `failed_at`. False: it is gone. */
export async function setAside(sql: Sql, position: string): Promise<boolean> {
  const rows = await sql`
    update outbox set failed_at = now() where position = ${position} and failed_at is null returning position`;
  return rows.length > 0;
}
