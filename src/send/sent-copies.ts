// The sender's own copy of a mail, put into Sent where the server keeps none. A row of `sent_copies` is the job.
import { isConnectionLost, type Tx } from '../db/pool.ts';
import type { GrantMailboxDeps } from '../grants/grant-mailbox.ts';
import type { Log } from '../log.ts';
import { type Copy, claimDue, wakeChanged } from './copy-queue.ts';
import { type CopyCounts, type KeepDeps, keep } from './keep-copy.ts';

export interface SentCopiesDeps extends GrantMailboxDeps {
  readonly log: Log;
  readonly pollMs?: number;
  readonly tryMs?: number;
  /** Milliseconds to wait after the first failed try, the second and so on; the last one repeats. */
  readonly schedule?: readonly number[];
}

export interface SentCopies {
  readonly counts: CopyCounts;
  /** Resolves when what is under way has ended; what takes longer than `CUT_MS` is cut off, and tried again later. */
  close(): Promise<void>;
}

const MINUTE = 60_000;
const SCHEDULE = [MINUTE, 10 * MINUTE, 60 * MINUTE, 180 * MINUTE];
/** Late enough for a server that keeps a copy itself to have done so. */
const FIRST_MS = 3_000;
const POLL_MS = 1_000;
const TRY_MS = 30_000;
/** Mailboxes at once; mails of 25 MB lie in memory meanwhile. */
const WORKERS = 8;
/** Of them at most so many with mailboxes that failed before. */
const RETRYING = 4;
/** How long a worker goes on with the copies of one mailbox, whose session is open, while others may wait. */
const STAY_MS = 5_000;
const WAKE_EVERY_MS = 15_000;
const CUT_MS = 1_000;

export interface NewSentCopy {
  readonly app: number;
  /** UUIDv7 of the message. */
  readonly message: string;
  readonly grantId: string;
  /** The Message-ID it left with. */
  readonly messageId: string;
  readonly raw: Buffer;
}

/** In the transaction that says the mails were sent. */
export async function putSentCopies(tx: Tx, copies: readonly NewSentCopy[]): Promise<void> {
  await Promise.all(
    copies.map(
      ({ app, message, grantId, messageId, raw }) => tx`
        insert into sent_copies (app, message_id, grant_id, header, raw, next_attempt_at)
        values (${app}, ${message}, ${grantId}, ${messageId}, ${raw},
          now() + ${FIRST_MS}::float8 * interval '1 millisecond')
        on conflict do nothing`,
    ),
  );
}

/** Works off the copies that are due, several mailboxes at once. Several processes may run it: each copy is claimed by one. */
export function startSentCopies(deps: SentCopiesDeps): SentCopies {
  const settled = withDefaults(deps);
  const { sql, log } = deps;
  const counts = noCounts();
  const cut = new AbortController();
  const serving = new Set<Promise<void>>();
  let retrying = 0;
  let closing = false;
  let timer: NodeJS.Timeout | undefined;
  let filling: Promise<void> | null = null;
  let again = false;
  let woken = -Infinity;

  const failed = (error: unknown): void => {
    if (!isConnectionLost(error)) log.warn({ err: error }, 'sent_copies.failed');
  };

  const fill = async (): Promise<void> => {
    clearTimeout(timer);
    try {
      if (performance.now() - woken >= WAKE_EVERY_MS) {
        woken = performance.now();
        await wakeChanged(sql, settled.schedule);
      }
      const most = WORKERS - serving.size;
      if (most > 0 && !closing) {
        const copies = await claimDue(sql, { most, retries: RETRYING - retrying, claimMs: 2 * settled.tryMs });
        for (const copy of copies) launch(copy);
      }
    } catch (error) {
      failed(error);
    }
    if (closing) return;
    timer = setTimeout(look, deps.pollMs ?? POLL_MS);
    timer.unref();
  };

  const look = (): void => {
    if (closing) return;
    if (filling !== null) {
      again = true;
      return;
    }
    filling = fill().finally(() => {
      filling = null;
      if (again) {
        again = false;
        look();
      }
    });
  };

  const launch = (copy: Copy): void => {
    const retry = copy.attempts > 1 ? 1 : 0;
    retrying += retry;
    const served = serve(copy)
      .catch(failed)
      .finally(() => {
        retrying -= retry;
        serving.delete(served);
        look();
      });
    serving.add(served);
  };

  const serve = async (first: Copy): Promise<void> => {
    const until = performance.now() + STAY_MS;
    let copy: Copy | undefined = first;
    while (copy !== undefined) {
      const goesOn = await keep(settled, counts, copy, cut.signal);
      if (!goesOn || closing || performance.now() > until) return;
      [copy] = await claimDue(sql, { most: 1, retries: 1, claimMs: 2 * settled.tryMs, mailbox: copy });
    }
  };

  look();
  return {
    counts,
    async close() {
      closing = true;
      clearTimeout(timer);
      const late = setTimeout(() => cut.abort(), CUT_MS);
      await filling;
      await Promise.all(serving);
      clearTimeout(late);
    },
  };
}

function withDefaults(deps: SentCopiesDeps): KeepDeps {
  return { ...deps, schedule: deps.schedule ?? SCHEDULE, tryMs: deps.tryMs ?? TRY_MS };
}

function noCounts(): CopyCounts {
  return { kept: 0, there: 0, retried: 0, givenUp: 0 };
}
