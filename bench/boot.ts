// First and second boot to ready, and the service's resident memory after 100,000 hits. Linux reads /proc for the latter.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHitLoad } from '../test/support/hit-load.ts';
import { startService } from '../test/support/service.ts';
import { sendTracked, spoolIsEmpty } from '../test/support/tracked-message.ts';

const ROUNDS = 3;
const HITS = 100_000;

const first: number[] = [];
const second: number[] = [];
let dataDir = '';
for (let round = 0; round < ROUNDS; round++) {
  dataDir = await mkdtemp(join(tmpdir(), 'telltale-boot-'));
  for (const times of [first, second]) {
    const began = performance.now();
    const service = await startService({ dataDir });
    times.push((performance.now() - began) / 1000);
    if (times === second && round === ROUNDS - 1) await memory(service);
    await service.stop();
  }
  await rm(dataDir, { recursive: true, force: true });
}
const median = (times: number[]): string => (times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0).toFixed(2);
console.log(`FIGURE first_boot_s ${median(first)}`);
console.log(`FIGURE second_boot_s ${median(second)}`);
process.exit();

async function memory(service: Awaited<ReturnType<typeof startService>>): Promise<void> {
  const messages = await Promise.all([sendTracked(service), sendTracked(service)]);
  const load = startHitLoad({
    port: service.port,
    paths: messages.flatMap(({ pixel, link }) => [pixel, link]),
    parallel: 64,
    most: HITS,
  });
  while ([...load.answered.values()].reduce((sum, set) => sum + set.size, 0) < HITS - 64) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await load.stop();
  await spoolIsEmpty(service);
  const status = await readFile(`/proc/${service.child.pid}/status`, 'utf8');
  const resident = (name: string): string =>
    (Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024).toFixed(0);
  console.log(`FIGURE memory_after_${HITS}_hits_mb ${resident('VmRSS')}`);
  console.log(`FIGURE memory_peak_mb ${resident('VmHWM')}`);
}
