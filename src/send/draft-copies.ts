// The Drafts folders of mailboxes, made like the table `drafts`; a row is the job.
import { claimDrafts, type DueDraft, eraseWithGrants, wakeDrafts } from './draft-queue.ts';
import { type DraftCounts, type KeepDraftDeps, keepDraft } from './keep-draft.ts';
import { startRounds } from './mailbox-rounds.ts';

export interface DraftCopiesDeps extends Omit<KeepDraftDeps, 'schedule' | 'tryMs'> {
  readonly pollMs?: number;
  readonly tryMs?: number;
  readonly schedule?: readonly number[];
}

export interface DraftCopies {
  readonly counts: DraftCounts;
  /** Resolves when what is under way has ended; what takes longer than a second is cut off, and tried again later. */
  close(): Promise<void>;
}

const MINUTE = 60_000;
const SCHEDULE = [MINUTE, 10 * MINUTE, 60 * MINUTE, 180 * MINUTE];
const TRY_MS = 30_000;
const ALL_EVERY_MS = 60 * MINUTE;

/** Several processes may run it: each draft is claimed by one. */
export function startDraftCopies(deps: DraftCopiesDeps): DraftCopies {
  const { sql, log, pollMs, tryMs = TRY_MS, schedule = SCHEDULE } = deps;
  const counts = { kept: 0, removed: 0, retried: 0, givenUp: 0 };
  let all = -Infinity;
  const rounds = startRounds<DueDraft>({
    name: 'draft_copies',
    log,
    pollMs,
    claim: (wanted) => claimDrafts(sql, { ...wanted, claimMs: 2 * tryMs }),
    work: (draft, cut) => keepDraft({ ...deps, tryMs, schedule }, counts, draft, cut),
    async tend() {
      const isTime = performance.now() - all >= ALL_EVERY_MS;
      await wakeDrafts(sql, all === -Infinity ? 'first' : 'often');
      await eraseWithGrants(sql, isTime ? 'all' : 'of late');
      if (isTime) all = performance.now();
    },
  });
  return { counts, close: () => rounds.close() };
}
