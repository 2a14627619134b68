// Finds a seat for the server: an account, programs and a folder for the cluster that go together on this machine.
import { join } from 'node:path';
import { StartError } from '../../errors.ts';
import { type Account, isRoot, serverAccounts } from './account.ts';
import { clusterOwner } from './cluster.ts';
import { isThere } from './errno.ts';
import { type Launcher, launchers, tryFolder, tryLauncher } from './launch.ts';
import { clusterHome, openHomeElsewhere } from './place.ts';
import { type Binaries, completeLinks, copyBinaries } from './platform.ts';
import type { Log } from './server-log.ts';
import { EmbeddedUnavailable } from './unavailable.ts';

export interface Seat {
  /** holds the cluster `postgres` and, as a rule, the socket folder */
  readonly home: string;
  readonly binaries: Binaries;
  readonly launcher: Launcher;
}

interface SeatDeps {
  readonly dataFolder: string;
  readonly binaries: Binaries;
  readonly log: Log;
}

/**
 * Best first: everything where it is; the programs copied into the home (they lie behind a closed folder, or their
 * library links are missing in a folder we cannot write); for root, the cluster placed where an account can go.
 */
export async function findSeat(deps: SeatDeps): Promise<Seat> {
  const { dataFolder, binaries, log } = deps;
  const home = await clusterHome(dataFolder);
  const accounts = await accountsFor(join(home, 'postgres'));
  const usable = await completeLinks(binaries.native);

  let reason = 'the library links of its package cannot be made';
  if (usable) {
    const found = await seatWith(accounts, binaries, home);
    if ('launcher' in found) return found;
    reason = found.reason;
  }
  if (await canEnter(accounts, home)) {
    const found = await seatWithCopy(deps, accounts, home);
    if ('launcher' in found) return found;
    reason = found.reason;
  } else if (isRoot()) {
    if (await isThere(join(home, 'postgres'))) {
      throw new StartError([
        `PostgreSQL does not run as root, and ${accountNames(accounts)} cannot pass into ${home}. ` +
          'Open the folders above it for passing (chmod o+x), or move the data folder.',
      ]);
    }
    const elsewhere = await openHomeElsewhere(dataFolder).catch((error: unknown) => {
      throw new EmbeddedUnavailable(`${accountNames(accounts)} cannot pass into ${home}, and ${String(error)}`);
    });
    log.warn({ dataFolder, placedIn: elsewhere, because: reason }, 'postgres.placed_elsewhere');
    const found = usable ? await seatWith(accounts, binaries, elsewhere) : { reason };
    if ('launcher' in found) return found;
    const copied = await seatWithCopy(deps, accounts, elsewhere);
    if ('launcher' in copied) return copied;
    reason = copied.reason;
  }
  throw new EmbeddedUnavailable(`its programs do not start (${reason})`);
}

type Found = Seat | { readonly reason: string };

async function seatWith(accounts: readonly (Account | null)[], binaries: Binaries, home: string): Promise<Found> {
  let reason = '';
  for (const launcher of accounts.flatMap(launchers)) {
    const trial = await tryLauncher(launcher, binaries, home);
    if (trial.works) return { home, binaries, launcher };
    reason ||= trial.reason;
  }
  return { reason };
}

async function seatWithCopy(deps: SeatDeps, accounts: readonly (Account | null)[], home: string): Promise<Found> {
  const copy = await copyBinaries(deps.binaries, home);
  deps.log.warn({ from: deps.binaries.native, to: copy.native }, 'postgres.programs_copied');
  return await seatWith(accounts, copy, home);
}

async function canEnter(accounts: readonly (Account | null)[], home: string): Promise<boolean> {
  for (const launcher of accounts.flatMap(launchers)) {
    if ((await tryFolder(launcher, home)).works) return true;
  }
  return false;
}

/** An existing cluster keeps its account. null stands for our own. */
async function accountsFor(cluster: string): Promise<readonly (Account | null)[]> {
  if (!isRoot()) return [null];
  const owner = await clusterOwner(cluster);
  if (owner !== null) return [owner];
  const accounts = await serverAccounts();
  if (accounts.length > 0) return accounts;
  throw new EmbeddedUnavailable(
    'PostgreSQL refuses to run as root, and /etc/passwd has neither an account postgres nor nobody. ' +
      'Start as an ordinary user, or add such an account',
  );
}

function accountNames(accounts: readonly (Account | null)[]): string {
  return accounts.map((account) => `"${account?.name}"`).join(' or ');
}
