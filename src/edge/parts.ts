import type { Ranges } from '../addresses.ts';
import type { Spool } from '../tracking/spool.ts';
import type { TokenKeys } from '../tracking/token.ts';
import type { EdgeCounters } from './counters.ts';
import type { LookedUp } from './lookup.ts';
import type { StopList } from './stops.ts';

/** What the answers to links and pixels share. */
export interface EdgeParts {
  keys: TokenKeys;
  spool: Pick<Spool, 'append'>;
  stops: StopList;
  trustedProxies: Ranges;
  counters: EdgeCounters;
  lookUp(identity: Buffer): Promise<LookedUp>;
}
