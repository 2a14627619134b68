// What sending leaves behind: uploads that nobody held, answers nobody will ask for again, mails that came to rest.
import { sweepBlobs } from '../db/blobs.ts';
import { isConnectionLost, type Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import { pruneIdempotentRequests } from './idempotent-requests.ts';
import { tidySchedules } from './schedule-queue.ts';

const EVERY_MS = 60_000;

/** Tidies now and every minute; several processes may. */
export function startTidying({
  sql,
  log,
  everyMs = EVERY_MS,
}: {
  readonly sql: Sql;
  readonly log: Pick<Log, 'warn'>;
  readonly everyMs?: number;
}): { stop(): Promise<void> } {
  let pass: Promise<void> | null = null;
  const tidy = (): void => {
    pass ??= tidyOnce(sql)
      .catch((error: unknown) => {
        if (!isConnectionLost(error)) log.warn({ err: error }, 'send.tidying_failed');
      })
      .finally(() => {
        pass = null;
      });
  };
  tidy();
  const timer = setInterval(tidy, everyMs);
  timer.unref();
  return {
    async stop() {
      clearInterval(timer);
      await pass;
    },
  };
}

async function tidyOnce(sql: Sql): Promise<void> {
  await tidySchedules(sql);
  await pruneIdempotentRequests(sql);
  await sweepBlobs(sql);
}
