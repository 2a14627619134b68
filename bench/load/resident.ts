// The resident memory of another process of this user, in megabytes of 1,000,000 bytes (Linux).
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export function residentMb(pid: number): number {
  return megabytes(pid, 'VmRSS');
}

/** The most it had since `forgetPeak`. */
export function peakMb(pid: number): number {
  return megabytes(pid, 'VmHWM');
}

export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** The level it comes to when it is left alone: the least of some seconds. */
export async function restingMb(pid: number, seconds = 5): Promise<number> {
  let least = residentMb(pid);
  for (let looks = 0; looks < seconds * 4; looks++) {
    await delay(250);
    least = Math.min(least, residentMb(pid));
  }
  return least;
}

function megabytes(pid: number, name: string): number {
  const kilobytes = new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kilobytes) * 1024) / 1e6;
}
