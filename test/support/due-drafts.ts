import { claimDrafts } from '../../src/send/draft-queue.ts';
import { type DraftCounts, type KeepDraftDeps, keepDraft } from '../../src/send/keep-draft.ts';

/** One try of each mailbox whose drafts are due, without the workers; how many there were. */
export async function tryDueDrafts(deps: Omit<KeepDraftDeps, 'tryMs'>, counts: DraftCounts): Promise<number> {
  const drafts = await claimDrafts(deps.sql, { most: 8, retries: 8, claimMs: 60_000 });
  await Promise.all(
    drafts.map((draft) => keepDraft({ ...deps, tryMs: 30_000 }, counts, draft, new AbortController().signal)),
  );
  return drafts.length;
}
