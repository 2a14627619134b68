// A PostgreSQL of our own: one data folder, one server, no port, no set-up. Pools outlive a restart of the server
// because its address never changes. In the data folder it keeps lock/, postgres/ and run/.
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { StartError } from '../errors.ts';
import { openCluster } from './embedded/cluster.ts';
import { hasCode } from './embedded/errno.ts';
import { lockFolder } from './embedded/lock.ts';
import { occupantOf, readPidFile } from './embedded/pid-file.ts';
import { openDataFolder, openSocketFolder } from './embedded/place.ts';
import { findBinaries } from './embedded/platform.ts';
import { type Connection, connectionAt } from './embedded/postmaster.ts';
import { findSeat } from './embedded/seat.ts';
import type { Log } from './embedded/server-log.ts';
import type { Settings } from './embedded/settings.ts';
import { supervise } from './embedded/supervise.ts';
import { EmbeddedUnavailable } from './embedded/unavailable.ts';

export { EmbeddedUnavailable };

export interface Embedded {
  /** Connection options for the driver, the same for the whole life of the data folder's place. */
  readonly connection: Connection;
  /** Process id of the server; null while it is being restarted. */
  readonly pid: () => number | null;
  /** Fast shutdown, then harder ones (15 s at the very worst). Close the pools before. */
  stop(): Promise<void>;
}

export interface EmbeddedDeps {
  readonly dataDir: string;
  readonly log: Log;
  /** Server settings besides ours or instead of them. */
  readonly settings?: Settings;
}

/**
 * Starts the server of a data folder and keeps it running. Must be called on the main thread: the server is told to
 * stop when the thread that started it ends. Throws StartError when another service holds the folder and
 * EmbeddedUnavailable where PostgreSQL cannot run; both messages are meant for the operator.
 */
export async function startEmbedded(deps: EmbeddedDeps): Promise<Embedded> {
  const { log } = deps;
  const begun = performance.now();
  const installed = findBinaries();
  const dataFolder = await openDataFolder(deps.dataDir);
  const locking = await lockFolder(join(dataFolder, 'lock'));
  if (locking.kind === 'taken') {
    throw new StartError([
      `Another Telltale (process ${locking.pid}) runs on the data folder ${dataFolder}. ` +
        'Stop it first, or give this one its own folder (TELLTALE_DATA_DIR).',
    ]);
  }
  try {
    const seat = await findSeat({ dataFolder, binaries: installed, log });
    const cluster = await openCluster({ ...seat, log });
    const socketFolder = await openSocketFolder(seat.home, seat.launcher);
    const { binaries, launcher } = seat;
    const settings = deps.settings ?? {};
    const server = await supervise({ cluster: cluster.folder, socketFolder, binaries, launcher, settings, log });
    const ms = Math.round(performance.now() - begun);
    const account = launcher.account?.name ?? 'own';
    log.info({ pid: server.pid(), folder: cluster.folder, new: cluster.isNew, account, ms }, 'postgres.started');
    let stopped: Promise<void> | null = null;
    return {
      connection: connectionAt(socketFolder),
      pid: server.pid,
      stop: () => {
        stopped ??= server.stop().then(() => locking.lock.release());
        return stopped;
      },
    };
  } catch (error) {
    await locking.lock.release();
    throw error;
  }
}

/** The connection of a server that runs for this data folder (the service's, for the command line), or null. */
export async function connectEmbedded(dataDir: string): Promise<Connection | null> {
  try {
    const cluster = await realpath(join(dataDir, 'postgres'));
    const file = await readPidFile(cluster);
    if (file === null || (await occupantOf(file.pid, cluster)) !== 'server') return null;
    return connectionAt(file.socketFolder, file.port);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
    if (hasCode(error, 'EACCES'))
      throw new StartError([`${dataDir} is not ours to read; use the account of the service`]);
    throw error;
  }
}
