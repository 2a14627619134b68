import { isDeepStrictEqual } from 'node:util';
import type { Query, Sql, Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import type { GrantId } from '../ids.ts';
import { afterExchange } from '../providers/exchange.ts';
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

/**
 * Keeps what the refresh token of `before` was exchanged for, where that is still the grant's: other credentials that it
 * was authenticated with meanwhile stay. May run twice.
 */
export async function keepRenewed(
  deps: { readonly sql: Sql; readonly vault: Pick<Vault, 'seal' | 'open'> },
  app: number,
  id: GrantId,
  before: Credentials,
  renewed: Credentials,
): Promise<void> {
  await transaction(deps.sql, async (tx) => {
    const kept = await lockCredentials({ sql: tx, vault: deps.vault }, app, id);
    const next = kept === null ? null : afterExchange(kept, before, renewed);
    if (next === null || isDeepStrictEqual(next, kept)) return;
    await tx`
      update grants set credentials = ${sealCredentials(deps.vault, id, next)}
      where app = ${app} and id = ${id}`;
  });
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
    const current = await lockCredentials({ sql: tx, vault: deps.vault }, app, id);
    return isDeepStrictEqual(current, credentials) && (await change(tx));
  });
}

/** As `openCredentials`; nobody changes them until the transaction ends. */
async function lockCredentials(
  deps: { readonly sql: Tx; readonly vault: Pick<Vault, 'open'> },
  app: number,
  id: GrantId,
): Promise<Credentials | null> {
  await deps.sql`select from grants where app = ${app} and id = ${id} for update`;
  return await openCredentials(deps, app, id);
}

function context(id: GrantId): string {
  return `grant:${id}`;
}
