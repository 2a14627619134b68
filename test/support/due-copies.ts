import { claimDue } from '../../src/send/copy-queue.ts';
import { type CopyCounts, type KeepDeps, keep } from '../../src/send/keep-copy.ts';

/** One try of each mailbox whose copies are due, without the workers; how many there were. */
export async function tryDueCopies(deps: Omit<KeepDeps, 'tryMs'>, counts: CopyCounts): Promise<number> {
  const copies = await claimDue(deps.sql, { most: 8, retries: 8, claimMs: 60_000 });
  await Promise.all(copies.map((copy) => keep({ ...deps, tryMs: 30_000 }, counts, copy, new AbortController().signal)));
  return copies.length;
}
