// What answers readers: needs keys, the spool and the last copy of the stops, and no database.
import { constants } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import type { Config, Role } from '../config.ts';
import { type EdgeCounters, newEdgeCounters } from '../edge/counters.ts';
import type { LookUpLink } from '../edge/lookup.ts';
import { createEdge } from '../edge/server.ts';
import { StartError } from '../errors.ts';
import type { Keyring } from '../keyring.ts';
import type { Log } from '../log.ts';
import { type Metrics, makeMetrics } from '../metrics.ts';
import { loadKeyring } from '../secrets.ts';
import { openSpool, type Spool } from '../tracking/spool.ts';
import { type TokenKeys, tokenKeys } from '../tracking/token.ts';
import { type Front, makeFront } from './front.ts';
import type { Releasers } from './releasers.ts';
import { loadStopList, type StopList } from './stop-list.ts';

export interface Doors {
  readonly ring: Keyring;
  readonly keys: TokenKeys;
  readonly spool: Spool;
  readonly stops: StopList;
  readonly counters: EdgeCounters;
  readonly metrics: Metrics;
  readonly front: Front;
  /** How links too long to carry their destination are looked up, once there is a database. */
  useLookUp(lookUp: LookUpLink): void;
  /** Whether what lies behind a role works now; asked for every `/ready`. */
  watch(role: Role, able: () => boolean): void;
  /** All has come up: `/health` answers 200 and the API is let in. */
  open(): void;
}

export async function startDoors(deps: {
  readonly config: Config;
  readonly log: Log;
  readonly releasers: Releasers;
}): Promise<Doors> {
  const { config, log, releasers } = deps;
  await openDataDir(config.dataDir);
  const ring = await loadKeyring(config);
  const keys = tokenKeys(ring);
  const stops = await loadStopList({ dataDir: config.dataDir, log });
  releasers.add('tools', 'stops', () => stops.close());
  const spool = await openSpool({ dataDir: config.dataDir, log });
  releasers.add('ledger', 'spool', () => spool.close());

  const counters = newEdgeCounters();
  const metrics = makeMetrics();
  const able = new Map<Role, () => boolean>([...config.roles].map((role) => [role, () => role === 'edge']));
  let opened = false;
  let lookUp: LookUpLink = async () => {
    throw new Error('the database is not there yet');
  };
  const front = makeFront({
    metrics,
    readiness: {
      up: () => opened && !releasers.begun,
      stopping: () => releasers.begun,
      // The API is let in once all has come up.
      roles: () => new Map([...able].map(([role, works]) => [role, (role !== 'api' || opened) && works()])),
    },
  });
  const edge = createEdge({
    keys,
    spool,
    stops,
    counters,
    lookUpLink: (identity) => lookUp(identity),
    trustedProxies: config.trustedProxies,
    trackingOnlyHost: config.trackingUrl === config.publicUrl ? null : new URL(config.trackingUrl).host,
    publicHost: new URL(config.publicUrl).host,
    fallback: front.handle,
  });
  await edge.listen(config.port, config.host).catch((error: NodeJS.ErrnoException) => {
    throw new StartError([whyNot(config, error)]);
  });
  releasers.add('doors', 'edge', () => edge.close());
  return {
    ring,
    keys,
    spool,
    stops,
    counters,
    metrics,
    front,
    useLookUp(given) {
      lookUp = given;
    },
    watch: (role, works) => void able.set(role, works),
    open() {
      opened = true;
    },
  };
}

async function openDataDir(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await access(dataDir, constants.W_OK | constants.X_OK);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError([`TELLTALE_DATA_DIR: ${dataDir} cannot be used as a folder to write to: ${why}`]);
  }
}

function whyNot(config: Config, error: NodeJS.ErrnoException): string {
  const where = `${config.host}, port ${config.port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `PORT: something else listens on ${where} already; stop it or choose another port.`;
    case 'EACCES':
      return `PORT: this user may not listen on ${where}; ports below 1024 need rights, or choose another.`;
    case 'EADDRNOTAVAIL':
      return `HOST: ${config.host} is not an address of this machine.`;
    default:
      return `HOST, PORT: could not listen on ${where}: ${error.message}`;
  }
}
