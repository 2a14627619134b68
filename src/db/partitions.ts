import { LOCKS } from './locks.ts';
import type { Sql } from './pool.ts';
import { transaction } from './transaction.ts';

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;
const MONDAY_MS = 4 * 24 * 60 * 60 * 1000; // 1970-01-05

/** Tables partitioned by week on a UUIDv7 column. */
export const PARTITIONED = ['events', 'notifications', 'deliveries', 'attempts'] as const;
export type PartitionedTable = (typeof PARTITIONED)[number];

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

interface Partition {
  readonly table: PartitionedTable;
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

function partition(table: PartitionedTable, ms: number): Partition {
  const start = Math.floor((ms - MONDAY_MS) / WEEK_MS) * WEEK_MS + MONDAY_MS;
  const day = new Date(start).toISOString().slice(0, 10).replaceAll('-', '');
  return { table, name: `${table}_w${day}`, from: lowest(start), to: lowest(start + WEEK_MS) };
}

function lowest(ms: number): string {
  const hex = ms.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}
