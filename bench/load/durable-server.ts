// The tracking edge as it runs, with a spool below the folder in its first argument.
import { parseRanges } from '../../src/addresses.ts';
import { newEdgeCounters } from '../../src/edge/counters.ts';
import { createEdge } from '../../src/edge/server.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { openSpool } from '../../src/tracking/spool.ts';
import { tokenKeys } from '../../src/tracking/token.ts';
import { serveBench } from './bench-server.ts';
import { SECRET } from './requests.ts';

const [, , dataDir = ''] = process.argv;
const counters = newEdgeCounters();
const spool = await openSpool({ dataDir, log: { info() {}, warn: (fields, event) => console.error(event, fields) } });
let commits = 0;
spool.reader.onAppend(() => commits++);
const edge = createEdge({
  keys: tokenKeys(parseKeyring(SECRET)),
  spool,
  stops: { grant: () => null, message: () => false, host: () => false },
  lookUpLink: async () => null,
  trustedProxies: parseRanges('127.0.0.0/8'),
  trackingOnlyHost: null,
  counters,
  fallback(_, res) {
    // What was answered without being on the disk: the bench refuses to call such a round durable.
    const unrecorded = Object.values(counters.unrecorded).reduce((sum, count) => sum + count, 0);
    const hits = counters.open + counters.click;
    res.end(JSON.stringify({ hits, hitsPerCommit: hits / commits, unrecorded, forged: counters.forgedOpen }));
    commits = 0;
    counters.open = 0;
    counters.click = 0;
  },
});
await edge.listen(0, '127.0.0.1');
serveBench(edge.server);
