// The providers as a machine of one's own has them: mail servers and token endpoints on loopback are allowed.
import { parseRanges } from '../../src/addresses.ts';
import type { Sql } from '../../src/db/pool.ts';
import { practiceStore } from '../../src/grants/practice-mail.ts';
import type { Vault } from '../../src/grants/vault.ts';
import { makeNames } from '../../src/names.ts';
import type { MailNetwork } from '../../src/providers/mail-server.ts';
import type { Providers } from '../../src/providers/provider.ts';
import { makeProviders } from '../../src/providers/providers.ts';
import { makeSafeFetch } from '../../src/safe-fetch.ts';

export interface TestProviders {
  readonly providers: Providers;
  close(): Promise<void>;
}

/** `ca`: certificate authorities of mail servers to trust, PEM. */
export function localNetwork(ca: string | null = null): MailNetwork {
  return { allowLoopback: true, allowPrivateTargets: parseRanges(''), names: makeNames(), ca };
}

export function testProviders(
  deps: { readonly sql: Sql; readonly vault: Vault },
  ca: string | null = null,
): TestProviders {
  const network = localNetwork(ca);
  const { allowLoopback, allowPrivateTargets, names } = network;
  const safeFetch = makeSafeFetch({ allowLoopback, allowPrivateTargets, names });
  const made = makeProviders({ practice: practiceStore(deps), network, safeFetch });
  return {
    providers: made.providers,
    async close() {
      await made.close();
      await safeFetch.close();
    },
  };
}
