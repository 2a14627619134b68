import { timingSafeEqual } from 'node:crypto';
import { StartError } from '../errors.ts';
import { LOCKS } from './locks.ts';
import type { Sql } from './pool.ts';
import { transaction } from './transaction.ts';

export interface CheckedKeys {
  readonly ids: readonly number[];
  derive(keyId: number, purpose: 'check'): Buffer;
}

/**
 * Refuses a keyring that does not fit this database: every key it has seen must be in the ring, unchanged. Keys that
 * are new to the database are written down. Throws a StartError that says what to do.
 */
export async function checkKeyring(sql: Sql, ring: CheckedKeys): Promise<void> {
  await transaction(sql, async (tx) => {
    await tx`select pg_advisory_xact_lock(${LOCKS.keyring})`;
    const rows = await tx<{ id: number; value: Buffer }[]>`
      select key_id as id, value from keyring_checks order by key_id`;
    const known = new Map(rows.map(({ id, value }) => [id, value]));
    const problems: string[] = [];
    for (const [id, value] of known) {
      if (!ring.ids.includes(id)) {
        problems.push(
          `TELLTALE_SECRET: key ${id} is missing, but this database was used with it: links in delivered mail and stored credentials need it. Put it back into the keyring beside the newer keys.`,
        );
      } else if (!equal(value, ring.derive(id, 'check'))) {
        problems.push(
          `TELLTALE_SECRET: key ${id} is not the one this database was used with. Start with the former secret (to change it, add a new key and keep the old one), or point DATABASE_URL or TELLTALE_DATA_DIR at the database that belongs to this secret.`,
        );
      }
    }
    if (problems.length > 0) throw new StartError(problems);
    for (const id of ring.ids.filter((id) => !known.has(id))) {
      await tx`insert into keyring_checks (key_id, value) values (${id}, ${ring.derive(id, 'check')})`;
    }
  });
}

function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
