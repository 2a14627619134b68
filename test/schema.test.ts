import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { it } from 'node:test';
import { migrate } from '../src/db/migrate.ts';
import type { Sql } from '../src/db/pool.ts';
import { testDatabase } from './support/postgres.ts';

const FILE = new URL('../../migrations/schema.txt', import.meta.url);

// After a migration: TELLTALE_WRITE_SCHEMA=1 npm test -- schema
it('migrations/schema.txt is the schema that the migrations make', async () => {
  const database = await testDatabase(migrate);
  try {
    const listing = await listSchema(database.sql);
    if (process.env.TELLTALE_WRITE_SCHEMA) await writeFile(FILE, listing);
    assert.equal(listing, await readFile(FILE, 'utf8'));
  } finally {
    await database.drop();
  }
});

async function listSchema(sql: Sql): Promise<string> {
  const columns = await sql<{ table: string; line: string }[]>`
    select c.relname as table,
      '  ' || rpad(a.attname, 20) || ' ' || format_type(a.atttypid, a.atttypmod)
        || case when a.attnotnull then ' not null' else '' end
        || case a.attidentity when 'a' then ' identity' else '' end
        || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as line
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname, a.attnum`;
  const constraints = await sql<{ table: string; line: string }[]>`
    select c.relname as table, '  ' || pg_get_constraintdef(k.oid) as line
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace = 'public'::regnamespace and not c.relispartition and k.contype <> 'n'
    order by c.relname, k.contype, k.conname`;
  const indexes = await sql<{ table: string; line: string }[]>`
    select t.relname as table, '  ' || pg_get_indexdef(i.indexrelid) as line
    from pg_index i join pg_class t on t.oid = i.indrelid
    where t.relnamespace = 'public'::regnamespace and not t.relispartition
      and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
    order by t.relname, 2`;
  const partitions = await sql<{ table: string; line: string }[]>`
    select c.relname as table, '  partition by ' || pg_get_partkeydef(c.oid) as line
    from pg_class c where c.relkind = 'p' and c.relnamespace = 'public'::regnamespace order by 1`;
  const tables = [...new Set(columns.map(({ table }) => table))];
  return tables
    .map((table) =>
      [
        table,
        ...[columns, constraints, indexes, partitions].flatMap((rows) =>
          rows.filter((row) => row.table === table).map(({ line }) => line.trimEnd()),
        ),
        '',
      ].join('\n'),
    )
    .join('\n');
}
