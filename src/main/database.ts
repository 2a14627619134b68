import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { startEmbedded } from '../db/embedded.ts';
import { checkKeyring } from '../db/keyring-check.ts';
import { migrate } from '../db/migrate.ts';
import { ensurePartitions } from '../db/partitions.ts';
import { type Connection, connect, cutConnections, isConnectionLost, type Sql } from '../db/pool.ts';
import type { Keyring } from '../keyring.ts';
import type { Log } from '../log.ts';
import type { Releasers } from './releasers.ts';

const ASK_EVERY_MS = 1000;
/** So many questions in a row neither answered nor refused: the connections are dead, and nobody says so. */
const SILENT_TIMES = 10;
const PARTITIONS_EVERY_MS = 60 * 60_000;

export interface Database {
  /** A pool of its own for each kind of work, so that none starves the others. */
  pool(name: string, max: number): Sql;
  /** As of at most two seconds ago. */
  reachable(): boolean;
}

/** Starts or finds the database, waits until it answers, and brings it to this program's schema. */
export async function openDatabase(deps: {
  readonly config: Config;
  readonly ring: Keyring;
  readonly log: Log;
  readonly releasers: Releasers;
}): Promise<Database> {
  const { ring, log, releasers } = deps;
  const connection = await locate(deps);
  const pools: Sql[] = [];
  const pool = (name: string, max: number): Sql => {
    const sql = connect(connection, { max, applicationName: `telltale ${name}` });
    pools.push(sql);
    releasers.add('tools', `${name} pool`, () => sql.end({ timeout: 2 }));
    return sql;
  };
  const sql = pool('upkeep', 2);
  await whenItAnswers(log, releasers, async () => {
    const applied = await migrate(sql);
    if (applied.length > 0) log.info({ migrations: applied }, 'database.migrated');
    await checkKeyring(sql, ring);
    await ensurePartitions(sql, Date.now());
  });

  let reachable = true;
  let silent = 0;
  const look = async (): Promise<void> => {
    const answer = await Promise.race([
      sql`select 1`.then(
        () => 'yes',
        () => 'no',
      ),
      delay(ASK_EVERY_MS, 'none', { ref: false }),
    ]);
    silent = answer === 'none' ? silent + 1 : 0;
    if (silent >= SILENT_TIMES) {
      silent = 0;
      log.error({}, 'database.silent');
      for (const each of pools) cutConnections(each);
    }
    const answered = answer === 'yes';
    if (answered !== reachable) log[answered ? 'info' : 'error']({}, answered ? 'database.back' : 'database.away');
    reachable = answered;
  };
  const looking = setInterval(() => void look(), ASK_EVERY_MS).unref();
  const upkeep = setInterval(() => {
    ensurePartitions(sql, Date.now()).catch((error: unknown) => log.error({ err: error }, 'database.upkeep_failed'));
  }, PARTITIONS_EVERY_MS).unref();
  releasers.add('tools', 'database upkeep', () => {
    clearInterval(looking);
    clearInterval(upkeep);
  });
  return { pool, reachable: () => reachable };
}

async function locate(deps: {
  readonly config: Config;
  readonly log: Log;
  readonly releasers: Releasers;
}): Promise<Connection> {
  const { config, log, releasers } = deps;
  if (config.databaseUrl !== null) return config.databaseUrl;
  const embedded = await startEmbedded({ dataDir: config.dataDir, log });
  releasers.add('tools', 'embedded database', () => embedded.stop());
  return embedded.connection;
}

/** A database that is not there yet is waited for: links are served in the meantime. */
async function whenItAnswers(log: Log, releasers: Releasers, prepare: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await prepare();
    } catch (error) {
      if (!isConnectionLost(error) || releasers.begun) throw error;
      if (attempt % 10 === 0) log.warn({ error: error instanceof Error ? error.message : '' }, 'database.awaited');
      await delay(ASK_EVERY_MS);
    }
  }
}
