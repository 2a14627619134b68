import { retrying, type Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import { type Mailbox, mailboxOf } from '../providers/mailbox.ts';
import type { Access, Credentials, Providers } from '../providers/provider.ts';
import { keepRenewed, openCredentials, whileUnchanged } from './credentials.ts';
import { expireWithin, type Grant } from './grants.ts';
import type { Vault } from './vault.ts';

export interface GrantMailboxDeps {
  readonly sql: Sql;
  readonly vault: Vault;
  readonly providers: Providers;
  readonly log: Log;
  /** Told once a fact lies in the outbox. */
  readonly onFacts?: () => void;
}

/** The mailbox behind a grant, for one call. */
export interface GrantMailbox extends Mailbox {
  /** The provider refuses the credentials (D13). False where the grant has others by now, or had expired already. */
  expire(): Promise<boolean>;
}

/** Null where the grant has no credentials. */
export async function openMailbox(deps: GrantMailboxDeps, grant: Grant): Promise<GrantMailbox | null> {
  const used = await openCredentials(deps, grant.app, grant.id);
  return used === null ? null : mailboxWith(deps, grant, used);
}

/** The mailbox that these credentials of the grant open. */
export function mailboxWith(deps: GrantMailboxDeps, grant: Grant, credentials: Credentials): GrantMailbox {
  const { app, id } = grant;
  /** What the provider has used last. */
  let used = credentials;
  const access: Access<Credentials> = {
    credentials,
    async keep(before, renewed) {
      used = renewed;
      try {
        await retrying(() => keepRenewed(deps, app, id, before, renewed));
      } catch (error) {
        // This process knows the exchange, and keeps it at the next call that still begins with what it replaced.
        deps.log.error({ app, grant: id, err: error }, 'credentials.not_kept');
      }
    },
    async reread() {
      const kept = await retrying(() => openCredentials(deps, app, id));
      used = kept ?? used;
      return kept;
    },
  };
  return {
    ...mailboxOf(deps.providers, { app, grantId: id, email: grant.email }, access),
    async expire() {
      const expired = await whileUnchanged(deps, app, id, used, (tx) => expireWithin(tx, app, id));
      if (expired) deps.onFacts?.();
      return expired;
    },
  };
}
