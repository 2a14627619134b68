import { ensurePartitions } from '../db/partitions.ts';
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { uuidTime } from '../ids.ts';
import { classify } from './classify.ts';
import { type Occurrence, type Recorded, record } from './events.ts';
import type { Hit } from './hit.ts';
import { type SetAside, setAside } from './quarantine.ts';
import { settle } from './settle.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

export interface BatchResult extends Omit<Recorded<HitOccurrence>, 'refused'> {
  readonly quarantined: number;
}

interface HitOccurrence extends Occurrence {
  readonly hit: Hit;
}

export interface HitBatches {
  /** Records hits in one transaction, those that cannot be recorded into `quarantine`. `now`: the database's clock. */
  record(hits: readonly Hit[], now: number): Promise<BatchResult>;
  /** Makes the partitions for the coming weeks. */
  prepare(now: number): Promise<void>;
  /** Believes no more that a partition is there. */
  forgetPartitions(): void;
}

export function hitBatches(sql: Sql): HitBatches {
  /** Days (since 1970) whose week is known to have its partition. */
  const days = new Set<number>();

  const ensure = async (times: Iterable<number>): Promise<void> => {
    for (const time of times) {
      const day = Math.floor(time / DAY_MS);
      if (days.has(day)) continue;
      await ensurePartitions(sql, time, 0, ['events']);
      days.add(day);
    }
  };

  return {
    async record(hits, now) {
      const occurrences: HitOccurrence[] = [];
      const refused: SetAside[] = [];
      for (const hit of hits) {
        const occurrence = occurrenceOf(hit, now);
        if (typeof occurrence === 'string') refused.push({ hit, reason: occurrence });
        else occurrences.push(occurrence);
      }
      await ensure(new Set(occurrences.map(({ id }) => uuidTime(id))));
      return transaction(sql, async (tx) => {
        // A node that vanishes with its host must not hold its counters' locks until TCP gives up. And a plan made while
        // a partition was empty must not read the whole of it later.
        const guard = tx`
          select set_config('idle_in_transaction_session_timeout', '15s', true), set_config('enable_seqscan', 'off', true)`.execute();
        const [, recorded] = await Promise.all([guard, record(tx, occurrences)]);
        for (const { occurrence, reason } of recorded.refused) refused.push({ hit: occurrence.hit, reason });
        await setAside(tx, refused);
        const { counted, uncounted, duplicates, dropped } = recorded;
        return { counted, uncounted, duplicates, dropped, quarantined: refused.length };
      });
    },
    async prepare(now) {
      await ensurePartitions(sql, now, 4, ['events']);
    },
    forgetPartitions() {
      days.clear();
    },
  };
}

function occurrenceOf(hit: Hit, now: number): HitOccurrence | string {
  const settled = settle(hit, now);
  if (typeof settled === 'string') return settled;
  const { id, otherId, at } = settled;
  const verdict = classify(hit);
  return {
    hit,
    id,
    otherId,
    at,
    app: hit.app,
    grant: hit.grant,
    message: hit.message,
    trigger: hit.kind === 'open' ? 'message.opened' : 'message.link_clicked',
    link: hit.kind === 'open' ? null : hit.link,
    ip: hit.ip,
    userAgent: hit.userAgent,
    class: verdict.class,
    reasons: verdict.reasons,
    counts: verdict.counts,
  };
}
