// kill -9 at any moment: what was answered is on the disk.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseKeyring } from '../../src/keyring.ts';
import { openSpool } from '../../src/tracking/spool.ts';
import { linkUrl, pixelUrl, tokenKeys } from '../../src/tracking/token.ts';
import { identity } from '../support/edge.ts';
import { spawnEdge } from '../support/edge-process.ts';
import { RawClient } from '../support/raw-client.ts';

const KILLS = 10;
const CONNECTIONS = 64;

test('no answered hit is lost in ten kills under 64 connections', { timeout: 120_000 }, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'edge-kill-'));
  const keys = tokenKeys(parseKeyring('correct horse battery staple'));
  const paths = [pixelUrl(keys, '', identity), linkUrl(keys, '', identity, 'https://espn.com')];
  const answered: string[] = [];
  let sent = 0;

  async function hammer(port: number): Promise<void> {
    const client = await RawClient.open(port);
    try {
      for (;;) {
        const name = `hit ${sent++}`;
        client.send(`GET ${paths[sent % 2]} HTTP/1.1\r\nHost: t.example.com\r\nUser-Agent: ${name}\r\n\r\n`);
        const { status } = await client.answer();
        assert.ok(status === 200 || status === 302);
        answered.push(name);
      }
    } catch {
      // The process is gone: whatever was on its way was never answered.
    } finally {
      client.destroy();
    }
  }

  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const { child, port } = await spawnEdge(dataDir);
      const gone = once(child, 'exit');
      const clients = Array.from({ length: CONNECTIONS }, () => hammer(port).catch(() => undefined));
      await delay(100 + Math.random() * 250);
      child.kill('SIGKILL');
      await gone;
      await Promise.all(clients);
    }
    assert.ok(answered.length > 1000, `${answered.length} answers`);

    const spool = await openSpool({ dataDir, log: { info() {}, warn() {} } });
    await spool.adopt();
    const found = new Map<string, string>();
    const ids = new Set<string>();
    for (;;) {
      const { hits, upTo } = await spool.reader.read(1000);
      if (hits.length === 0) break;
      for (const { userAgent, id } of hits) {
        assert.ok(!found.has(userAgent), `${userAgent} came twice`);
        found.set(userAgent, id);
        ids.add(id);
      }
      await spool.reader.done(upTo);
    }
    const lost = answered.filter((name) => !found.has(name));
    assert.deepEqual(lost, [], `${lost.length} of ${answered.length} lost`);
    assert.equal(ids.size, found.size);
    assert.ok(found.size <= sent);
    assert.equal((await readdir(join(dataDir, 'spool'))).length, 1, 'every dead slot was adopted');
    await spool.close();
  } finally {
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
  }
});
