// What /metrics shows. Names and meanings stand in docs/operations.md; a test compares them.
import type { RateLimiter } from '../api/rate-limits.ts';
import type { EdgeCounters } from '../edge/counters.ts';
import type { Metrics, Reading } from '../metrics.ts';
import type { Notify } from '../notify/start.ts';
import type { RepliesCounts } from '../replies/start.ts';
import type { AnswerCounts } from '../replies/sync.ts';
import type { CopyCounts } from '../send/keep-copy.ts';
import type { DraftCounts } from '../send/keep-draft.ts';
import type { SchedulerCounts } from '../send/scheduler.ts';
import type { Recorder } from '../tracking/recorder.ts';
import type { Spool } from '../tracking/spool.ts';

export function showHits(metrics: Metrics, counters: EdgeCounters, spool: Spool): void {
  metrics.counter('telltale_hits_total', 'Genuine links and pixels answered.', () =>
    readings('kind', { open: counters.open, click: counters.click }),
  );
  metrics.counter('telltale_hits_unrecorded_total', 'Hits answered without being on the disk.', () =>
    readings('reason', counters.unrecorded),
  );
  metrics.counter('telltale_hits_forged_total', 'Tokens that no key of ours made.', () =>
    readings('kind', { open: counters.forgedOpen, click: counters.forgedClick }),
  );
  metrics.counter('telltale_hits_stopped_total', 'Hits of deleted grants, blocked messages and hosts.', () => [
    { value: counters.stopped },
  ]);
  metrics.counter('telltale_link_lookups_total', 'Destinations looked up because the link did not prove one.', () =>
    readings('result', { answered: counters.lookups - counters.lookupsFailed, failed: counters.lookupsFailed }),
  );
  const depth = spool.reader.depth;
  metrics.gauge('telltale_spool_hits', 'Hits on disk that are not in the database yet.', () => [
    { value: depth().hits },
  ]);
  metrics.gauge('telltale_spool_bytes', 'Their size.', () => [{ value: depth().bytes }]);
  metrics.gauge('telltale_spool_oldest_seconds', 'Age of the oldest of them.', () => {
    const { oldest } = depth();
    return [{ value: oldest === null ? 0 : Math.max(0, (Date.now() - oldest.getTime()) / 1000) }];
  });
  metrics.counter('telltale_spool_damaged_frames_total', 'Torn or flipped parts of spool files.', () => [
    { value: spool.state().damagedFrames },
  ]);
}

export function showRecorder(metrics: Metrics, recorder: Recorder): void {
  const { figures } = recorder;
  metrics.gauge('telltale_recorder_lag_seconds', 'Age of the oldest hit not yet recorded.', () => [
    { value: recorder.lagSeconds() },
  ]);
  metrics.counter('telltale_recorded_total', 'Hits taken from the spool, by what became of them.', () =>
    readings('result', {
      counted: figures.recorded,
      uncounted: figures.uncounted,
      duplicate: figures.duplicates,
      dropped: figures.dropped,
      quarantined: figures.quarantined,
    }),
  );
}

export function showNotify(metrics: Metrics, { counts }: Notify): void {
  metrics.counter('telltale_notifications_total', 'Notifications made.', () => [{ value: counts.notifications }]);
  metrics.counter('telltale_notifications_coalesced_total', 'Events merged into a waiting notification.', () => [
    { value: counts.coalesced },
  ]);
  metrics.counter('telltale_deliveries_total', 'Attempts to deliver, by outcome.', () =>
    readings('outcome', counts.attempts),
  );
  metrics.gauge('telltale_deliveries_pending', 'Deliveries still to be made (as of at most 15 s ago).', () => [
    { value: counts.pending },
  ]);
  metrics.gauge('telltale_deliveries_in_flight', 'Attempts under way.', () => [{ value: counts.inFlight }]);
}

export function showCopies(metrics: Metrics, counts: CopyCounts): void {
  metrics.counter('telltale_sent_copies_total', 'Copies for Sent folders, by what became of each try.', () =>
    readings('result', { kept: counts.kept, there: counts.there, retried: counts.retried, given_up: counts.givenUp }),
  );
}

export function showDrafts(metrics: Metrics, counts: DraftCounts): void {
  metrics.counter('telltale_draft_copies_total', 'Changes of drafts in mailboxes, by what became of each try.', () =>
    readings('result', {
      kept: counts.kept,
      removed: counts.removed,
      retried: counts.retried,
      given_up: counts.givenUp,
    }),
  );
}

export function showRefusedRequests(metrics: Metrics, refused: RateLimiter['refused']): void {
  metrics.counter('telltale_requests_limited_total', 'API requests that were answered 429, by limit.', () =>
    readings('limit', {
      application_requests: refused.applicationRequestsPerSecond,
      grant_requests: refused.grantRequestsPerSecond,
      grant_uploads: refused.grantUploadsPerSecond,
    }),
  );
}

export function showSchedules(metrics: Metrics, counts: SchedulerCounts): void {
  metrics.counter('telltale_scheduled_messages_total', 'Scheduled messages by what became of each try.', () =>
    readings('result', { sent: counts.sent, failed: counts.failed, put_off: counts.putOff }),
  );
}

export function showReplies(metrics: Metrics, counts: RepliesCounts, answers: AnswerCounts): void {
  metrics.gauge(
    'telltale_mailboxes',
    'Mailboxes that this process watches, and those of them that are connected.',
    () => readings('state', { watched: counts.watching, connected: counts.connected }),
  );
  metrics.counter('telltale_mailbox_connects_total', 'Connections to mailboxes that were begun.', () => [
    { value: counts.starts },
  ]);
  metrics.counter('telltale_mailbox_mails_total', 'Mails found in watched mailboxes, by what became of them.', () =>
    readings('result', { read: counts.mails, set_aside: counts.setAside }),
  );
  metrics.counter('telltale_replies_total', 'Mails recorded as answers, by class.', () => readings('class', answers));
}

function readings(label: string, values: Readonly<Record<string, number>>): Reading[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}
