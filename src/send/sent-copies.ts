// The sender's own copy of a mail, put into Sent where the server keeps none. A row of `sent_copies` is the job.
import { holdBlobs } from '../db/blobs.ts';
import type { Tx } from '../db/pool.ts';
import type { GrantMailboxDeps } from '../grants/grant-mailbox.ts';
import type { Log } from '../log.ts';
import { type Copy, claimDue, wakeChanged } from './copy-queue.ts';
import { type CopyCounts, type KeepDeps, keep } from './keep-copy.ts';
import { startRounds } from './mailbox-rounds.ts';
import type { ComposedMail } from './streamed-mail.ts';
import { takenApart } from './waiting-copy.ts';

export interface SentCopiesDeps extends GrantMailboxDeps {
  readonly log: Log;
  readonly pollMs?: number;
  readonly tryMs?: number;
  /** Milliseconds to wait after the first failed try, the second and so on; the last one repeats. */
  readonly schedule?: readonly number[];
}

export interface SentCopies {
  readonly counts: CopyCounts;
  /** Resolves when what is under way has ended; what takes longer than a second is cut off, and tried again later. */
  close(): Promise<void>;
}

const MINUTE = 60_000;
const SCHEDULE = [MINUTE, 10 * MINUTE, 60 * MINUTE, 180 * MINUTE];
/** Late enough for a server that keeps a copy itself to have done so. */
const FIRST_MS = 3_000;
const TRY_MS = 30_000;

export interface NewSentCopy {
  readonly app: number;
  /** UUIDv7 of the message. */
  readonly message: string;
  readonly grantId: string;
  /** The Message-ID it left with. */
  readonly messageId: string;
  readonly raw: Buffer | ComposedMail;
}

/** In the transaction that says the mails were sent; large attachments are held, not written once more. */
export async function putSentCopies(tx: Tx, copies: readonly NewSentCopy[]): Promise<void> {
  await Promise.all(copies.map((copy) => putSentCopy(tx, copy)));
}

async function putSentCopy(tx: Tx, { app, message, grantId, messageId, raw }: NewSentCopy): Promise<void> {
  const { skeleton, attached } = takenApart(raw);
  const isWhole = attached.length === 0;
  const added = await tx`
    insert into sent_copies (app, message_id, grant_id, header, ${isWhole ? tx`raw` : tx`skeleton`}, attached, next_attempt_at)
    values (${app}, ${message}, ${grantId}, ${messageId}, ${skeleton}, ${isWhole ? null : tx.json(attached.map((each) => ({ ...each })))},
      now() + ${FIRST_MS}::float8 * interval '1 millisecond')
    on conflict do nothing returning app`;
  const ids = attached.map(({ blob }) => blob);
  if (added.length > 0) await holdBlobs(tx, app, ids); // one that has gone is missed when the copy is read
}

/** Works off the copies that are due, several mailboxes at once. Several processes may run it: each copy is claimed by one. */
export function startSentCopies(deps: SentCopiesDeps): SentCopies {
  const settled = withDefaults(deps);
  const { sql, log, pollMs } = deps;
  const counts = noCounts();
  const rounds = startRounds<Copy>({
    name: 'sent_copies',
    log,
    pollMs,
    claim: ({ most, retries, like }) =>
      claimDue(sql, { most, retries, claimMs: 2 * settled.tryMs, ...(like && { mailbox: like }) }),
    work: (copy, cut) => keep(settled, counts, copy, cut),
    tend: () => wakeChanged(sql, settled.schedule),
  });
  return { counts, close: () => rounds.close() };
}

function withDefaults(deps: SentCopiesDeps): KeepDeps {
  return { ...deps, schedule: deps.schedule ?? SCHEDULE, tryMs: deps.tryMs ?? TRY_MS };
}

function noCounts(): CopyCounts {
  return { kept: 0, there: 0, retried: 0, givenUp: 0 };
}
