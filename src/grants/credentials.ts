import { isDeepStrictEqual } from 'node:util';
import type { Query, Sql, Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import type { GrantId } from '../ids.ts';
import type { Credentials } from '../providers/provider.ts';
import type { Vault } from './vault.ts';

/** Sealed for this grant alone. */
export function sealCredentials(vault: Pick<Vault, 'seal'>, id: GrantId, credentials: Credentials): Buffer {
  return vault.seal(JSON.stringify(credentials), context(id));
}

/** Null where the grant has none or has gone. */
export async function openCredentials(
  deps: { readonly sql: Query; readonly vault: Pick<Vault, 'open'> },
  app: number,
  id: GrantId,
): Promise<Credentials | null> {
  const [row] = await deps.sql<{ credentials: Buffer | null }[]>`
    select credentials from grants where app = ${app} and id = ${id} and state <> 'deleted'`;
  return row?.credentials ? unsealCredentials(deps.vault, id, row.credentials) : null;
}

/** What `sealCredentials` made. */
export function unsealCredentials(vault: Pick<Vault, 'open'>, id: GrantId, sealed: Buffer): Credentials {
  // Believed as it is: the seal proves that this program wrote it.
  const credentials: Credentials = JSON.parse(vault.open(sealed, context(id)));
  return credentials;
}

/** Keeps the new ones that a provider handed out (a rotated refresh token). False where the grant has gone. */
export async function replaceCredentials(
  deps: { readonly sql: Query; readonly vault: Pick<Vault, 'seal'> },
  app: number,
  id: GrantId,
  credentials: Credentials,
): Promise<boolean> {
  const rows = await deps.sql`
    update grants set credentials = ${sealCredentials(deps.vault, id, credentials)}, updated_at = now()
    where app = ${app} and id = ${id} and state <> 'deleted' returning id`;
  return rows.length > 0;
}

/**
 * Makes a change that follows from what the provider said of `credentials`, unless the grant has been authenticated with
 * others meanwhile; they stay as they are until the change is made. False where it was not.
 */
export async function whileUnchanged(
  deps: { readonly sql: Sql; readonly vault: Pick<Vault, 'open'> },
  app: number,
  id: GrantId,
  credentials: Credentials,
  change: (tx: Tx) => Promise<boolean>,
): Promise<boolean> {
  return await transaction(deps.sql, async (tx) => {
    await tx`select from grants where app = ${app} and id = ${id} for update`;
    const current = await openCredentials({ sql: tx, vault: deps.vault }, app, id);
    return isDeepStrictEqual(current, credentials) && (await change(tx));
  });
}

function context(id: GrantId): string {
  return `grant:${id}`;
}
