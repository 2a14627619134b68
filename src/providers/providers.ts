import { type PracticeStore, practiceProvider, practiceSwitchedOff } from './practice.ts';
import type { Providers } from './provider.ts';

export interface ProviderDeps {
  /** Null where the practice mailbox is switched off. */
  readonly practice: PracticeStore | null;
}

/** Every provider there is. */
export function makeProviders(deps: ProviderDeps): Providers {
  return {
    practice: deps.practice === null ? practiceSwitchedOff : practiceProvider(deps.practice),
  } satisfies Providers;
}
