import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseRanges } from '../../src/addresses.ts';
import { type EdgeCounters, newEdgeCounters } from '../../src/edge/counters.ts';
import { createEdge, type Edge, type EdgeDeps } from '../../src/edge/server.ts';
import type { StopList } from '../../src/edge/stops.ts';
import { parseKeyring } from '../../src/keyring.ts';
import type { Hit } from '../../src/tracking/hit.ts';
import { openSpool, type Spool, type SpoolDeps } from '../../src/tracking/spool.ts';
import { type Identity, linkUrl, pixelUrl, type TokenKeys, tokenKeys } from '../../src/tracking/token.ts';

export interface RunningEdge {
  readonly edge: Edge;
  readonly port: number;
  readonly spool: Spool;
  readonly counters: EdgeCounters;
  readonly keys: TokenKeys;
  /** Paths of a link and a pixel of `identity`. */
  link(destination: string, more?: Partial<Identity>): string;
  pixel(more?: Partial<Identity>): string;
  /** Every hit spooled since the last call. */
  hits(): Promise<Hit[]>;
  stop(): Promise<void>;
}

export const identity: Identity = { app: 7, grant: 9, message: '0193d1a0-8c5b-7d3e-9f00-0123456789ab', link: 3 };
export const noStops: StopList = { grant: () => null, message: () => false, host: () => false };

/** An edge on a free port with a spool in a temporary folder; `more` replaces parts of it. */
export async function startEdge(
  more: Partial<EdgeDeps> & { spoolDeps?: Partial<SpoolDeps> } = {},
): Promise<RunningEdge> {
  const { spoolDeps, ...edgeDeps } = more;
  const dataDir = await mkdtemp(join(tmpdir(), 'edge-'));
  const log = { info() {}, warn() {} };
  const spool = await openSpool({ dataDir, log, segmentBytes: 1 << 20, ...spoolDeps });
  const counters = newEdgeCounters();
  const keys = tokenKeys(parseKeyring('correct horse battery staple'));
  const edge = createEdge({
    keys,
    spool,
    stops: noStops,
    lookUpLink: async () => null,
    trustedProxies: parseRanges(''),
    trackingOnlyHost: null,
    counters,
    fallback(req, res) {
      const chunks: Buffer[] = [];
      req.on('data', (chunk) => chunks.push(chunk));
      req.on('end', () => {
        const { method, url, headers } = req;
        res.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() }));
      });
    },
    ...edgeDeps,
  });
  const port = await edge.listen(0, '127.0.0.1');
  return {
    edge,
    port,
    spool,
    counters,
    keys,
    link: (destination, partly) => linkUrl(keys, '', { ...identity, ...partly }, destination),
    pixel: (partly) => pixelUrl(keys, '', { ...identity, ...partly }),
    async hits() {
      const all: Hit[] = [];
      for (;;) {
        const { hits, upTo } = await spool.reader.read(100);
        if (hits.length === 0) return all;
        all.push(...hits);
        await spool.reader.done(upTo);
      }
    },
    async stop() {
      await edge.close();
      await spool.close();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}
