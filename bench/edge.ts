// How close the durable hit path (verified, spooled, on the disk, answered) comes to a bare node:http server that only
// sends the GIF. Both run as child processes on loopback; rounds are interleaved and a ratio is the median of its
// rounds', because a shared machine moves more than the contenders differ.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closedLoop, fixedRate, type Load } from './load/generator.ts';
import { buildRequests } from './load/requests.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 9);
const ROUND_MS = 1200;
const CONNECTIONS = 64;
const RATE = 3000;
const RATE_MS = 4000;

interface Contender {
  child: ChildProcess;
  port: number;
}

const here = fileURLToPath(new URL('.', import.meta.url));

async function start(name: string, ...args: string[]): Promise<Contender> {
  const script = join(here, 'load', `${name}-server.js`);
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [{ port }] = await once(child, 'message');
  return { child, port };
}

async function cpuOf({ child }: Contender): Promise<number> {
  const answer = once(child, 'message');
  child.send('cpu');
  const [{ cpu }] = await answer;
  return cpu;
}

interface Round {
  rate: number;
  cpuPerHit: number;
  p99: number;
}

async function measure(contender: Contender, load: (port: number) => Promise<Load>): Promise<Round> {
  const before = await cpuOf(contender);
  const { answers, seconds, latencies } = await load(contender.port);
  const cpu = (await cpuOf(contender)) - before;
  return {
    rate: answers / seconds,
    cpuPerHit: cpu / answers,
    p99: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
  };
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const high = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : (high + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

// A real disk: the system's temporary folder is often kept in memory.
const scratch = resolve('data');
mkdirSync(scratch, { recursive: true });
const dataDir = mkdtempSync(join(scratch, 'bench-edge-'));
const contenders: Contender[] = [];
try {
  const bare = await start('bare');
  contenders.push(bare);
  const durable = await start('durable', dataDir);
  contenders.push(durable);
  const opens = buildRequests('open', 2000);
  const clicks = buildRequests('click', 2000);
  const closed = (requests: Buffer[]) => (port: number) => closedLoop(port, requests, CONNECTIONS, ROUND_MS);
  const steady = (port: number): Promise<Load> => fixedRate(port, opens, CONNECTIONS, RATE, RATE_MS);

  for (const contender of contenders) await measure(contender, closed(opens)); // warm
  const ratios: number[] = [];
  const clickRatios: number[] = [];
  const cpu: { bare: number[]; durable: number[] } = { bare: [], durable: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const yardstick = await measure(bare, closed(opens));
    const ours = await measure(durable, closed(opens));
    ratios.push(ours.rate / yardstick.rate);
    clickRatios.push((await measure(durable, closed(clicks))).rate / yardstick.rate);
    cpu.bare.push(yardstick.cpuPerHit);
    cpu.durable.push(ours.cpuPerHit);
    console.log(`round ${round + 1}: bare ${yardstick.rate.toFixed(0)}/s, durable open ${ours.rate.toFixed(0)}/s`);
  }
  const p99: number[] = [];
  const barep99: number[] = [];
  const steadyCpu: { bare: number[]; durable: number[] } = { bare: [], durable: [] };
  for (let round = 0; round < 3; round++) {
    const yardstick = await measure(bare, steady);
    const ours = await measure(durable, steady);
    barep99.push(yardstick.p99);
    p99.push(ours.p99);
    steadyCpu.bare.push(yardstick.cpuPerHit);
    steadyCpu.durable.push(ours.cpuPerHit);
  }
  const answer = await fetch(`http://127.0.0.1:${durable.port}/figures`);
  const figures = await answer.text();
  console.log(`durable server: ${figures}`);
  if (!figures.includes('"unrecorded":0')) console.log('NOTE some hits were answered without being on the disk');
  console.log(`FIGURE durable_open_vs_bare ${median(ratios).toFixed(3)}`);
  console.log(`FIGURE durable_click_vs_bare ${median(clickRatios).toFixed(3)}`);
  console.log(`FIGURE durable_open_p99_ms_at_${RATE} ${median(p99).toFixed(2)}`);
  console.log(`FIGURE bare_p99_ms_at_${RATE} ${median(barep99).toFixed(2)}`);
  console.log(`FIGURE durable_open_cpu_us ${median(cpu.durable).toFixed(1)}`);
  console.log(`FIGURE bare_cpu_us ${median(cpu.bare).toFixed(1)}`);
  console.log(`FIGURE durable_open_cpu_us_at_${RATE} ${median(steadyCpu.durable).toFixed(1)}`);
  console.log(`FIGURE bare_cpu_us_at_${RATE} ${median(steadyCpu.bare).toFixed(1)}`);
} finally {
  for (const { child } of contenders) child.disconnect();
  rmSync(dataDir, { recursive: true, force: true });
}
