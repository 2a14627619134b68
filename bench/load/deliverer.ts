// The part of the service that delivers, and a recorder before it: as a process with the role `work` runs them.
import { createSocket } from 'node:dgram';
import { promises as dns } from 'node:dns';
import { setTimeout as delay } from 'node:timers/promises';
import { parseRanges } from '../../src/addresses.ts';
import { type Connection, connect } from '../../src/db/pool.ts';
import { makeVault } from '../../src/grants/vault.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { makeLog } from '../../src/log.ts';
import { makeNames } from '../../src/names.ts';
import { makeWebhook } from '../../src/notify/destinations/webhook.ts';
import { type Notify, startNotify } from '../../src/notify/start.ts';
import { makeSafeFetch } from '../../src/safe-fetch.ts';
import { startRecorder } from '../../src/tracking/recorder.ts';
import { MemorySpool, makeHit, type Owner } from '../../test/support/recording.ts';
import { answerParent, sharedClock } from './child.ts';
import { SECRET } from './requests.ts';

export interface Load {
  readonly owner: Owner;
  readonly messages: readonly string[];
  /** Number of its first reader. */
  readonly first: number;
  readonly perSecond: number;
  readonly seconds: number;
}

const connection: Connection = JSON.parse(process.argv[2] ?? '');
const log = makeLog('info'); // as by default: a line per delivery
const vault = makeVault(parseKeyring(SECRET));
const sql = connect(connection, { max: 8 });
const silence = createSocket('udp4');
await new Promise<void>((resolve) => silence.bind(0, '127.0.0.1', resolve));
const names = makeNames({
  hosts: async () => '127.0.0.1 live.example',
  resolver() {
    const resolver = new dns.Resolver({ timeout: 1500, tries: 2 }); // as `names.ts` makes it
    resolver.setServers([`127.0.0.1:${silence.address().port}`]);
    return resolver;
  },
});
const safeFetch = makeSafeFetch({ allowLoopback: true, allowPrivateTargets: parseRanges(''), names });
const webhook = makeWebhook({ safeFetch });
const spool = new MemorySpool();
let notify: Notify | null = null;
const recorder = startRecorder({
  sql: connect(connection, { max: 3 }),
  spool,
  wake: () => notify?.wakeFanout(),
  log: { ...log, debug() {}, info() {}, warn() {}, error() {} },
});
// Every connection is there before anything is measured.
await Promise.all(Array.from({ length: 8 }, () => sql`select pg_sleep(0.1)`));

answerParent({
  start() {
    notify = startNotify({
      sql,
      log,
      vault,
      destinations: { webhook, pubsub: webhook },
      thresholds: { failingMinutes: 15, failedHours: 72, failurePercent: 95 },
      postman: null,
      publicUrl: 'http://localhost:8080',
    });
  },
  async stop() {
    await notify?.stop();
    notify = null;
  },
  /** The moment at which so many were delivered since the start. */
  async delivered(count: number) {
    while ((notify?.counts.settled.delivered ?? count) < count) await delay(2);
    return sharedClock();
  },
  counts: () => notify?.counts,
  cpu() {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  memory() {
    const { rss } = process.memoryUsage();
    Reflect.get(globalThis, 'gc')?.();
    return { rss: rss / 2 ** 20, heap: process.memoryUsage().heapUsed / 2 ** 20 };
  },
  /** Opens at an even rate, whatever becomes of them; when each of them happened. */
  async load({ owner, messages, first, perSecond, seconds }: Load) {
    const happened: [number, number][] = [];
    const began = performance.now();
    for (let made = 0; made < perSecond * seconds; ) {
      const due = ((performance.now() - began) * perSecond) / 1000;
      for (; made < due; made++) {
        const message = messages[made % messages.length] ?? '';
        happened.push([first + made, sharedClock()]);
        spool.append(makeHit(owner, message, { userAgent: `reader-${first + made}` }));
      }
      await delay(1);
    }
    await spool.drained();
    return happened;
  },
  async end() {
    await recorder.stop();
  },
});
