import type { Sql } from '../db/pool.ts';
import { openCredentials, replaceCredentials, whileUnchanged } from '../grants/credentials.ts';
import { expireWithin, type Grant } from '../grants/grants.ts';
import type { Vault } from '../grants/vault.ts';
import { type Mailbox, mailboxOf } from '../providers/mailbox.ts';
import type { Credentials, Providers, Renewed } from '../providers/provider.ts';

export interface GrantMailboxDeps {
  readonly sql: Sql;
  readonly vault: Vault;
  readonly providers: Providers;
  /** Told once a fact lies in the outbox. */
  readonly onFacts?: () => void;
}

/** The mailbox behind a grant, and what follows for the grant from what its provider says. */
export interface GrantMailbox extends Mailbox {
  /** Keeps what the provider renewed on the way, unless the grant was authenticated anew meanwhile. */
  keepRenewed(outcome: Renewed<Credentials>): Promise<void>;
  /** The provider refuses the credentials (D13). False where the grant has others by now, or had expired already. */
  expire(outcome: Renewed<Credentials>): Promise<boolean>;
}

/** Null where the grant has no credentials. */
export async function openMailbox(deps: GrantMailboxDeps, grant: Grant): Promise<GrantMailbox | null> {
  const used = await openCredentials(deps, grant.app, grant.id);
  return used === null ? null : mailboxWith(deps, grant, used);
}

/** The mailbox that these credentials of the grant open. */
export function mailboxWith(deps: GrantMailboxDeps, grant: Grant, used: Credentials): GrantMailbox {
  const { app, id } = grant;
  return {
    ...mailboxOf(deps.providers, { app, grantId: id, email: grant.email }, used),
    async keepRenewed({ renewed }) {
      if (renewed === undefined) return;
      await whileUnchanged(deps, app, id, used, (tx) =>
        replaceCredentials({ sql: tx, vault: deps.vault }, app, id, renewed),
      );
    },
    async expire({ renewed }) {
      const expired = await whileUnchanged(deps, app, id, renewed ?? used, (tx) => expireWithin(tx, app, id));
      if (expired) deps.onFacts?.();
      return expired;
    },
  };
}
