import type { Config } from '../config.ts';
import { connectEmbedded, EmbeddedUnavailable, startEmbedded } from '../db/embedded.ts';
import { migrate } from '../db/migrate.ts';
import { type Connection, connect, type Sql } from '../db/pool.ts';
import { StartError } from '../errors.ts';
import { makeLog } from '../log.ts';
import { loadKeyring } from '../secrets.ts';

/** A service that is just starting holds the data folder but has no server yet. */
const WAIT_MS = 10_000;
const STEP_MS = 200;

/**
 * Works on the database of DATABASE_URL, else on the running service's own server, else on that server started for
 * this one command.
 */
export async function withDatabase<T>(config: Config, work: (sql: Sql) => Promise<T>): Promise<T> {
  const { connection, stop } = await open(config);
  try {
    const sql = connect(connection, { max: 2, applicationName: 'telltale cli' });
    try {
      await migrate(sql);
      return await work(sql);
    } finally {
      await sql.end({ timeout: 5 });
    }
  } finally {
    await stop();
  }
}

interface Opened {
  readonly connection: Connection;
  stop(): Promise<void>;
}

async function open(config: Config): Promise<Opened> {
  const nothing = async (): Promise<void> => {};
  if (config.databaseUrl !== null) return { connection: config.databaseUrl, stop: nothing };
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const running = await connectEmbedded(config.dataDir);
    if (running !== null) return { connection: running, stop: nothing };
    try {
      await loadKeyring(config); // before there is a database: beside one, none is made any more
      return await startEmbedded({ dataDir: config.dataDir, log: makeLog('error') });
    } catch (error) {
      const held = error instanceof StartError && !(error instanceof EmbeddedUnavailable);
      if (!held || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, STEP_MS));
    }
  }
}
