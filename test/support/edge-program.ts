// An edge as a process of its own: node edge-program.js <data folder> [segment bytes]. Tells its port, answers /state.
import { parseRanges } from '../../src/addresses.ts';
import { newEdgeCounters } from '../../src/edge/counters.ts';
import { createEdge } from '../../src/edge/server.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { openSpool } from '../../src/tracking/spool.ts';
import { tokenKeys } from '../../src/tracking/token.ts';

const [, , dataDir = '', segmentBytes = `${1 << 20}`] = process.argv;
const log = { info() {}, warn() {} };
const spool = await openSpool({ dataDir, log, segmentBytes: Number(segmentBytes) });
const counters = newEdgeCounters();
const edge = createEdge({
  keys: tokenKeys(parseKeyring('correct horse battery staple')),
  spool,
  stops: { grant: () => null, message: () => false, host: () => false },
  lookUpLink: async () => null,
  trustedProxies: parseRanges(''),
  trackingOnlyHost: null,
  counters,
  fallback: (_, res) => res.end(JSON.stringify({ ...spool.state(), ...counters })),
});
process.send?.(await edge.listen(0, '127.0.0.1'));
process.on('disconnect', () => process.exit());
