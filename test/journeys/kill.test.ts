// Every process of the tree is killed with SIGKILL, ten times each way, under 64 parallel hits.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { connectEmbedded } from '../../src/db/embedded.ts';
import { startHitLoad } from '../support/hit-load.ts';
import { assertExact, readLedger } from '../support/ledger.ts';
import { descendants, killHard } from '../support/process-tree.ts';
import { eventually, freePort, type Service, startService } from '../support/service.ts';
import { sendTracked, spoolIsEmpty } from '../support/tracked-message.ts';

const ROUNDS = 10;
const linux = process.platform === 'linux' ? {} : { skip: 'needs /proc' };

it('SIGKILL of every process, ten times each, loses no answered hit and counts none twice', linux, async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'telltale-kill-'));
  const port = await freePort();
  let service = await startService({ dataDir, port });
  t.after(async () => {
    await service.stop();
    // A database that was killed so often may still be recycling its log when the service has ended.
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
  });
  const { pixel, link } = await sendTracked(service);
  const load = startHitLoad({ port, paths: [pixel, link], parallel: 64, pauseMs: 20, most: 1_000_000 });
  const total = (): number => [...load.answered.values()].reduce((sum, set) => sum + set.size, 0);
  const someMore = async (): Promise<void> => {
    const before = total();
    await eventually('hits are answered', () => (total() > before + 300 ? true : undefined));
  };

  const ways: Record<string, (service: Service) => Promise<void>> = {
    async 'the whole tree'(now) {
      const pid = now.child.pid ?? 0;
      for (const each of [pid, ...descendants(pid)]) killHard(each);
      await now.exited;
      service = await startService({ dataDir, port });
    },
    async 'the service alone'(now) {
      killHard(now.child.pid ?? 0);
      await now.exited;
      service = await startService({ dataDir, port });
    },
    async 'the database server'(now) {
      const before = await postmaster(now);
      killHard(before);
      await anotherPostmaster(now, before);
    },
    async 'one process of the database'(now) {
      const before = await postmaster(now);
      const processes = descendants(before);
      killHard(processes[Math.floor(Math.random() * processes.length)] ?? 0);
      await anotherPostmaster(now, before);
    },
  };
  for (const kill of Object.values(ways)) {
    for (let round = 0; round < ROUNDS; round++) {
      await someMore();
      await kill(service);
    }
  }
  await someMore();
  await load.stop();
  await spoolIsEmpty(service);

  const connection = await connectEmbedded(dataDir);
  assert.ok(connection);
  const events = await readLedger(connection);
  assertExact(events, 'message.opened', load.answered.get(pixel) ?? new Set(), load.cut);
  assertExact(events, 'message.link_clicked', load.answered.get(link) ?? new Set(), load.cut);
  assert.deepEqual(load.wrong, []);
  t.diagnostic(`${total()} answered, ${load.cut.size} cut off, ${events.length} counted`);
});

/** Also one killed process of it makes the whole server start anew. */
async function anotherPostmaster(service: Service, before: number): Promise<void> {
  await eventually(
    'the database comes back',
    async () => {
      const pid = await postmaster(service).catch(() => before);
      return pid !== before && (await service.api('GET', '/v3/applications')).status === 200 ? true : undefined;
    },
    60_000,
  );
}

async function postmaster(service: Service): Promise<number> {
  const text = await readFile(join(service.dataDir, 'postgres', 'postmaster.pid'), 'utf8');
  return Number(text.split('\n')[0]);
}
