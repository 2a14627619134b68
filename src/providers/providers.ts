import { type PracticeStore, practiceProvider } from './practice.ts';
import type { Providers } from './provider.ts';

export interface ProviderDeps {
  readonly practice: PracticeStore;
}

/** Every provider there is. */
export function makeProviders(deps: ProviderDeps): Providers {
  return { practice: practiceProvider(deps.practice) } satisfies Providers;
}
