// Several whole services on one database, each of which may be killed and started anew.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbedded } from '../../src/db/embedded.ts';
import { connect, type Sql } from '../../src/db/pool.ts';
import { makeLog } from '../../src/log.ts';
import { throwAwayFolder } from './postgres.ts';
import { killHard } from './process-tree.ts';
import { type Answer, freePort, type Service, startService } from './service.ts';

export interface Nodes {
  readonly sql: Sql;
  readonly count: number;
  /** As it was started last; it may be dead. */
  node(at: number): Service;
  /** SIGKILL. */
  kill(at: number): Promise<void>;
  start(at: number): Promise<void>;
  /** The practice grant. */
  grantId(): Promise<string>;
  api(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  close(): Promise<void>;
}

const KEY = 'the-key-of-all-these-nodes';

export async function startNodes(count: number, env: Readonly<Record<string, string>> = {}): Promise<Nodes> {
  const server = await startEmbedded({ dataDir: await throwAwayFolder(), log: makeLog('silent') });
  const sql = connect(server.connection, { max: 3 });
  const { host, username, database } = server.connection;
  const places: { readonly dataDir: string; readonly port: number; service: Service | null }[] = [];
  const startAt = async (at: number): Promise<void> => {
    const place = places[at];
    if (place === undefined) throw new Error(`there is no node ${at}`);
    const { dataDir, port } = place;
    place.service = await startService({
      dataDir,
      port,
      env: {
        DATABASE_URL: `postgres:///${database}?host=${encodeURIComponent(host)}&user=${username}`,
        TELLTALE_SECRET: 'a-secret-for-all-these-nodes',
        TELLTALE_API_KEY: KEY,
        ...env,
      },
    });
  };
  const node = (at: number): Service => {
    const service = places[at]?.service ?? null;
    if (service === null) throw new Error(`node ${at} was never started`);
    return service;
  };
  // One after the other: the first makes the tables.
  for (let at = 0; at < count; at++) {
    const dataDir = await mkdtemp(join(tmpdir(), 'telltale-node-'));
    places.push({ dataDir, port: await freePort(), service: null });
    await startAt(at);
  }
  const nodes: Nodes = {
    sql,
    count,
    node,
    async kill(at) {
      killHard(node(at).child.pid ?? 0);
      await node(at).exited;
    },
    start: startAt,
    async grantId() {
      return String((await nodes.api('GET', '/v3/grants')).at('data.0.id'));
    },
    api: (...call) => node(0).api(...call),
    async close() {
      await Promise.all(places.map(({ service }) => service?.stop()));
      await sql.end({ timeout: 1 });
      await server.stop();
      for (const { dataDir } of places) await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
    },
  };
  return nodes;
}
