import { readdir, readFile } from 'node:fs/promises';
import { StartError } from '../errors.ts';
import { LOCKS } from './locks.ts';
import type { Sql } from './pool.ts';
import { transaction } from './transaction.ts';

const FOLDER = new URL('../../../migrations/', import.meta.url);

export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

/** The numbered files of `migrations/`, in order. */
export async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(FOLDER)).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort();
  return Promise.all(
    names.map(async (name) => ({
      number: Number(name.slice(0, 4)),
      name,
      sql: await readFile(new URL(name, FOLDER), 'utf8'),
    })),
  );
}

/**
 * Brings the database to this program's schema, each migration in a transaction of its own. Safe when several
 * processes start at once. Refuses a database that a newer program has migrated.
 */
export async function migrate(sql: Sql, migrations?: readonly Migration[]): Promise<readonly string[]> {
  const all = migrations ?? (await readMigrations());
  const newest = all.at(-1)?.number ?? 0;
  const applied: string[] = [];
  await transaction(sql, async (tx) => {
    await tx`select pg_advisory_xact_lock(${LOCKS.migrate})`;
    await tx`create table if not exists schema_migrations (
      number integer primary key, name text not null, applied_at timestamptz not null default now())`;
  });
  for (;;) {
    const done = await transaction(sql, async (tx) => {
      await tx`select pg_advisory_xact_lock(${LOCKS.migrate})`;
      const [row] = await tx<{ number: number }[]>`select coalesce(max(number), 0) as number from schema_migrations`;
      const current = row?.number ?? 0;
      if (current > newest) {
        throw new StartError([
          `The database was migrated to schema ${current} by a newer Telltale; this one knows ${newest}. Start the newer version, or restore a backup made before the upgrade.`,
        ]);
      }
      const next = all.find((migration) => migration.number > current);
      if (!next) return true;
      await tx.unsafe(next.sql);
      await tx`insert into schema_migrations (number, name) values (${next.number}, ${next.name})`;
      applied.push(next.name);
      return false;
    });
    if (done) return applied;
  }
}
