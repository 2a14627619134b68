import type { Query } from '../db/pool.ts';
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
  if (!row?.credentials) return null;
  // Believed as it is: the seal proves that this program wrote it.
  const credentials: Credentials = JSON.parse(deps.vault.open(row.credentials, context(id)));
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

function context(id: GrantId): string {
  return `grant:${id}`;
}
