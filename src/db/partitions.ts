import { LOCKS } from './locks.ts';
import type { Sql, Tx } from './pool.ts';
import { transaction } from './transaction.ts';

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;
const MONDAY_MS = 4 * 24 * 60 * 60 * 1000; // 1970-01-05

/** Tables partitioned by week on a UUIDv7 column. */
export const PARTITIONED = ['events', 'notifications', 'deliveries', 'attempts'] as const;
export type PartitionedTable = (typeof PARTITIONED)[number];
const KEYS: Readonly<Record<PartitionedTable, string>> = {
  events: 'id',
  notifications: 'id',
  deliveries: 'notification_id',
  attempts: 'notification_id',
};

/** A drop waits so long for the statements under way, and holds up those behind it no longer. */
const DROP_WAIT_MS = 250;
const LOCK_NOT_AVAILABLE = '55P03';

/** Makes the partitions of the week of `ms` and of `ahead` weeks after it; existing ones are left alone. */
export async function ensurePartitions(
  sql: Sql,
  ms: number,
  ahead = 4,
  tables: readonly PartitionedTable[] = PARTITIONED,
): Promise<void> {
  const names = tables.flatMap((table) =>
    Array.from({ length: ahead + 1 }, (_, week) => partition(table, ms + week * WEEK_MS)),
  );
  const known = await sql<{ relname: string }[]>`
    select relname from pg_class where relkind = 'r' and relname in ${sql(names.map(({ name }) => name))}`;
  const missing = names.filter(({ name }) => !known.some(({ relname }) => relname === name));
  if (missing.length === 0) return;
  await transaction(sql, async (tx) => {
    await tx`select pg_advisory_xact_lock(${LOCKS.partitions})`;
    for (const { table, name, from, to } of missing) {
      await tx.unsafe(
        `create table if not exists ${name} partition of ${table} for values from ('${from}') to ('${to}')`,
      );
    }
  });
}

/** The beginnings of the weeks of which a table has rows, newest first. None that begins after `until`. */
export async function weeksWithRows(sql: Sql, table: PartitionedTable, until: number): Promise<number[]> {
  const weeks = (await partitionsOf(sql, [table])).map(({ week }) => week).filter((week) => week <= until);
  const held = await Promise.all(
    weeks.map(async (week) => {
      // Not by the partition's name: another process may drop it just now.
      const [row] = await sql`
        select from ${sql(table)}
        where ${sql(KEYS[table])} >= ${lowestId(week)} and ${sql(KEYS[table])} < ${lowestId(week + WEEK_MS)} limit 1`;
      return row !== undefined;
    }),
  );
  return weeks.filter((_, at) => held[at]).sort((a, b) => b - a);
}

export interface Dropped {
  /** Names of partitions. */
  readonly dropped: readonly string[];
  /** The one that was in use; null where all went. */
  readonly busy: string | null;
}

/**
 * Drops the partitions whose weeks were over at `before` (Unix milliseconds), the oldest week first and in a week in
 * the order of `tables`. Where one is too busy to be dropped at once, it and what comes after it stay for the next call.
 */
export async function dropPartitions(
  sql: Sql,
  { tables, before }: { readonly tables: readonly PartitionedTable[]; readonly before: number },
): Promise<Dropped> {
  const old = (await partitionsOf(sql, tables))
    .filter(({ week }) => week + WEEK_MS <= before)
    .sort((a, b) => a.week - b.week || tables.indexOf(a.table) - tables.indexOf(b.table));
  const dropped: string[] = [];
  for (const { name } of old) {
    if (!(await transaction(sql, (tx) => drop(tx, name)).catch(falseWhereBusy))) return { dropped, busy: name };
    dropped.push(name);
  }
  return { dropped, busy: null };
}

async function partitionsOf(
  sql: Sql,
  tables: readonly PartitionedTable[],
): Promise<readonly { readonly name: string; readonly table: PartitionedTable; readonly week: number }[]> {
  const rows = await sql<{ name: string; table: PartitionedTable }[]>`
    select child.relname as name, parent.relname as table
    from pg_inherits i
    join pg_class child on child.oid = i.inhrelid
    join pg_class parent on parent.oid = i.inhparent
    where parent.relname in ${sql([...tables])} and parent.relkind = 'p' and pg_table_is_visible(parent.oid)`;
  return rows.flatMap(({ name, table }) => {
    const week = startOf(name);
    return week === null ? [] : [{ name, table, week }];
  });
}

async function drop(tx: Tx, name: string): Promise<boolean> {
  await tx.unsafe(`set local lock_timeout = ${DROP_WAIT_MS}`);
  const [lock] = await tx<{ ours: boolean }[]>`select pg_try_advisory_xact_lock(${LOCKS.partitions}) as ours`;
  if (lock?.ours !== true) return false;
  await tx`drop table if exists ${tx(name)}`;
  return true;
}

function falseWhereBusy(error: unknown): boolean {
  if (error instanceof Error && 'code' in error && error.code === LOCK_NOT_AVAILABLE) return false;
  throw error;
}

/** Unix milliseconds of the beginning of a partition's week, null where the name is none of ours. */
function startOf(name: string): number | null {
  const [, year, month, day] = /_w(\d{4})(\d\d)(\d\d)$/.exec(name) ?? [];
  return day === undefined ? null : Date.UTC(Number(year), Number(month) - 1, Number(day));
}

/** The beginning of the week of `ms`: what is older lies in other partitions. */
export function weekOf(ms: number): number {
  return Math.floor((ms - MONDAY_MS) / WEEK_MS) * WEEK_MS + MONDAY_MS;
}

/** Below every UUIDv7 of `ms` (not before 1970) and later, above every earlier one. */
export function lowestId(ms: number): string {
  const hex = Math.max(0, ms).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

interface Partition {
  readonly table: PartitionedTable;
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

function partition(table: PartitionedTable, ms: number): Partition {
  const start = weekOf(ms);
  const day = new Date(start).toISOString().slice(0, 10).replaceAll('-', '');
  return { table, name: `${table}_w${day}`, from: lowestId(start), to: lowestId(start + WEEK_MS) };
}
