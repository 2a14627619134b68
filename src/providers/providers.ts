import type { SafeFetch } from '../safe-fetch.ts';
import { imapProvider } from './imap.ts';
import type { MailNetwork } from './mail-server.ts';
import { practiceProvider, practiceSwitchedOff } from './practice.ts';
import type { PracticeStore } from './practice-store.ts';
import type { Providers } from './provider.ts';

export interface ProviderDeps {
  /** Null where the practice mailbox is switched off. */
  readonly practice: PracticeStore | null;
  readonly network: MailNetwork;
  /** To the token endpoints that grants name. */
  readonly safeFetch: Pick<SafeFetch, 'request'>;
  /** Between two looks at the folders of a watched mailbox that tell nothing by themselves. */
  readonly pollMs?: number;
}

export interface MadeProviders {
  readonly providers: Providers;
  /** Ends the connections that are kept open between calls; calls that go on are cut. */
  close(): Promise<void>;
}

/** Every provider there is. */
export function makeProviders(deps: ProviderDeps): MadeProviders {
  const { pollMs } = deps;
  const imap = imapProvider({ ...deps, ...(pollMs !== undefined && { tempo: { pollMs } }) });
  return {
    providers: {
      practice: deps.practice === null ? practiceSwitchedOff : practiceProvider(deps.practice),
      imap: imap.provider,
    },
    close: () => imap.close(),
  };
}
