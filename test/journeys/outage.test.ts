// The database is gone for 20 seconds under load, and the disk fills up under the spool: readers notice nothing.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { startEmbedded } from '../../src/db/embedded.ts';
import { makeLog } from '../../src/log.ts';
import { startHitLoad } from '../support/hit-load.ts';
import { assertExact, readLedger } from '../support/ledger.ts';
import { descendants } from '../support/process-tree.ts';
import { at, eventually, startService } from '../support/service.ts';
import { figure, sendTracked, spoolIsEmpty } from '../support/tracked-message.ts';

const OUTAGE_MS = 20_000;
const linux = process.platform === 'linux' ? {} : { skip: 'needs /proc' };
const prlimit = process.platform === 'linux' && has('prlimit') ? {} : { skip: 'needs prlimit (util-linux)' };

it('with its own database server stopped for 20 s, every redirect is answered and every hit counted afterwards', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'telltale-outage-'));
  const log = makeLog('silent');
  let server = await startEmbedded({ dataDir: folder, log });
  const { host, username, database } = server.connection;
  const service = await startService({
    env: {
      DATABASE_URL: `postgres:///${database}?host=${encodeURIComponent(host)}&user=${username}`,
      TELLTALE_SECRET: 'a-secret-for-the-outage',
    },
  });
  t.after(async () => {
    await service.stop();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const { pixel, link } = await sendTracked(service);
  const load = startHitLoad({ port: service.port, paths: [pixel, link], parallel: 16, pauseMs: 20 });
  await eventually('hits are answered', () => ((load.answered.get(link)?.size ?? 0) > 100 ? true : undefined));

  await server.stop();
  const gone = Date.now();
  const api = await service.api('GET', '/v3/grants');
  assert.equal(api.status, 503, 'the API says that it cannot work');
  assert.ok(Number(api.headers.get('retry-after')) > 0);
  assert.equal((await fetch(`${service.url}/ready?role=edge`)).status, 200);
  await eventually('the API is not ready', async () =>
    (await fetch(`${service.url}/ready`)).status === 503 ? true : undefined,
  );
  const slowestBefore = load.slowest();
  await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS - (Date.now() - gone)));
  assert.ok(load.slowest() < Math.max(1000, slowestBefore * 3), `a reader waited ${load.slowest()} ms`);
  server = await startEmbedded({ dataDir: folder, log });
  await eventually('the API works again', async () =>
    (await service.api('GET', '/v3/grants')).status === 200 ? true : undefined,
  );
  await load.stop();
  await spoolIsEmpty(service);

  assert.deepEqual(load.wrong, []);
  assert.equal(load.cut.size, 0, 'no reader was cut off');
  const events = await readLedger(server.connection);
  assertExact(events, 'message.opened', load.answered.get(pixel) ?? new Set(), load.cut);
  assertExact(events, 'message.link_clicked', load.answered.get(link) ?? new Set(), load.cut);
});

it('with the embedded server frozen, redirects are answered and counted when it thaws', linux, async (t) => {
  const service = await startService();
  t.after(() => service.stop());
  const { pixel, link } = await sendTracked(service);
  const servers = descendants(service.child.pid ?? 0);
  for (const pid of servers) process.kill(pid, 'SIGSTOP');
  const load = startHitLoad({ port: service.port, paths: [pixel, link], parallel: 16, most: 2000 });
  try {
    await eventually('2,000 hits are answered', () =>
      [...load.answered.values()].reduce((sum, set) => sum + set.size, 0) === 2000 ? true : undefined,
    );
  } finally {
    await load.stop();
    for (const pid of servers) process.kill(pid, 'SIGCONT');
  }
  assert.deepEqual(load.wrong, []);
  await spoolIsEmpty(service);
  const state = await service.api('GET', '/v3/grants');
  assert.equal(at(state.body, 'data.0.provider'), 'imap');
});

it('with the disk full under the spool, readers are served and the unrecorded are metered', prlimit, async (t) => {
  const service = await startService();
  t.after(() => service.stop());
  const { pixel, link } = await sendTracked(service);
  const unrecorded = async (): Promise<number> => {
    const text = await (await fetch(`${service.url}/metrics`)).text();
    return text
      .split('\n')
      .filter((line) => line.startsWith('telltale_hits_unrecorded_total'))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  };
  assert.equal(await unrecorded(), 0);

  // Every write beyond the first byte of a file fails from now on, as on a full disk; Node ignores SIGXFSZ.
  execFileSync('prlimit', [`--pid=${service.child.pid}`, '--fsize=1:unlimited']);
  for (let number = 0; number < 50; number++) {
    const image = await fetch(service.url + pixel);
    assert.equal(image.status, 200);
    await image.arrayBuffer();
    assert.equal((await fetch(service.url + link, { redirect: 'manual' })).status, 302);
  }
  assert.equal(await unrecorded(), 100);
  assert.ok(
    service.log().some((line) => String(line.event).startsWith('spool.')),
    'and the log says so',
  );

  execFileSync('prlimit', [`--pid=${service.child.pid}`, '--fsize=unlimited:unlimited']);
  const text = (await (await fetch(`${service.url}/metrics`)).text()) ?? '';
  const before = figure(text, 'telltale_recorded_total') ?? 0;
  await eventually('hits are kept again', async () => {
    const missed = await unrecorded();
    await (await fetch(service.url + pixel)).arrayBuffer();
    return (await unrecorded()) === missed ? true : undefined;
  });
  await spoolIsEmpty(service);
  assert.ok((figure(await (await fetch(`${service.url}/metrics`)).text(), 'telltale_recorded_total') ?? 0) > before);
});

function has(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
