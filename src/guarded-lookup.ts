// Host names to addresses that were judged before they are dialled.
import { isIP, type LookupFunction } from 'node:net';
import type { Names } from './names.ts';

/** The name leads to an address that may not be dialled. */
export class Blocked extends Error {}

/** For `net.connect`, which does not ask it for an address that is written as one. `judge` says why an address may not be dialled. */
export function guardedLookUp(names: Names, judge: (address: string) => Blocked | null): LookupFunction {
  return (hostname, options, callback) => {
    names.lookUp(hostname).then(
      (addresses) => {
        for (const address of addresses) {
          const problem = judge(address);
          if (problem !== null) return callback(problem, '');
        }
        const all = addresses.map((address) => ({ address, family: isIP(address) }));
        const first = all[0] ?? { address: '', family: 0 };
        return options.all ? callback(null, all) : callback(null, first.address, first.family);
      },
      (error: Error) => callback(error, ''),
    );
  };
}
