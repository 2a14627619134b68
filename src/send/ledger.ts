import { gather } from '../db/gather.ts';
import { retrying, type Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import { headOf } from '../providers/mail-bytes.ts';
import { failureOf } from '../tracking/failure.ts';
import {
  type Reservation,
  type Reserved,
  refusedReservation,
  reserveAll,
  type Settlement,
  settleAll,
} from '../tracking/messages.ts';
import { type NewSentCopy, putSentCopies } from './sent-copies.ts';

/** What sending writes down before and after, many at once together. */
export interface Ledger {
  /** Committed when it resolves. */
  reserve(reservation: Reservation): Promise<Reserved>;
  /**
   * The copy is kept only where the message changed. Never rejects: a database that stays away for more than ten seconds
   * is not waited for, and the result is tried again until it is written or the process ends.
   */
  settle(result: Result): Promise<void>;
  /** No further tries. */
  close(): void;
}

export interface Result {
  readonly settlement: Settlement;
  readonly copy: NewSentCopy | null;
}

export interface LedgerDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'warn' | 'error'>;
  /** Told once a fact lies in the outbox. */
  readonly onFacts?: () => void;
  readonly retryMs?: number;
}

/** Larger batches gain nothing. */
const AT_ONCE = 50;
/** Of copies, which go over the wire as text of twice the size, and of what is told. */
const BYTES_AT_ONCE = 4 * 1024 * 1024;
const RETRY_MS = 5_000;
const MOST_LATE = 1000;
const MOST_LATE_BYTES = 64 * 1024 * 1024;

export function makeLedger({ sql, log, onFacts, retryMs = RETRY_MS }: LedgerDeps): Ledger {
  const isTheirs = (error: unknown): boolean => failureOf(error).kind !== 'wait';
  const reserve = gather<Reservation, true>({
    atOnce: AT_ONCE,
    isTheirs,
    async run(reservations) {
      await reserveAll(sql, reservations);
      return reservations.map(() => true);
    },
  });
  const settle = gather<Result, true>({
    atOnce: AT_ONCE,
    weight: { of: bytesOf, most: BYTES_AT_ONCE },
    isTheirs,
    failTogether: true, // each batch waits ten seconds for the database, and callers for theirs
    async run(results) {
      const told = await retrying(() => write(sql, surest(results)));
      if (told) onFacts?.();
      return results.map(() => true);
    },
  });

  const late = new Set<Result>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const tryLater = (result: Result, err: unknown): void => {
    const { app, id: message } = result.settlement;
    const bytes = [...late].reduce((sum, each) => sum + bytesOf(each), bytesOf(result));
    const room = late.size < MOST_LATE && bytes <= MOST_LATE_BYTES;
    const again = !closed && room && !isTheirs(err);
    log[again ? 'warn' : 'error'](
      { app, message, result: result.settlement.result.state, err },
      again ? 'send.recorded_late' : 'send.unrecorded',
    );
    if (!again) return;
    late.add(result);
    timer ??= setTimeout(() => void retry(), retryMs).unref();
  };
  const retry = async (): Promise<void> => {
    timer = undefined;
    const due = [...late];
    late.clear();
    await Promise.all(due.map((result) => settle(result).catch((error: unknown) => tryLater(result, error))));
  };

  return {
    async reserve(reservation) {
      try {
        await reserve(reservation);
        return 'reserved';
      } catch (error) {
        const refused = refusedReservation(error);
        if (refused !== null) return refused;
        throw error;
      }
    },
    async settle(result) {
      await settle(result).catch((error: unknown) => tryLater(result, error));
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Whether facts were written. */
async function write(sql: Sql, results: readonly Result[]): Promise<boolean> {
  const settlements = results.map(({ settlement }) => settlement);
  const copies = results.flatMap(({ copy }) => copy ?? []);
  if (copies.length === 0) return (await settleAll(sql, settlements)).told;
  return await transaction(sql, async (tx) => {
    const { changed, told } = await settleAll(tx, settlements);
    await putSentCopies(
      tx,
      copies.filter(({ message }) => changed.has(message)),
    );
    return told;
  });
}

const SURENESS = { sent: 2, failed: 1, unknown: 0 } as const;

/** One result per message: a deadline and the provider's late answer may come in one batch, where one statement would take either. */
function surest(results: readonly Result[]): readonly Result[] {
  const best = new Map<string, Result>();
  for (const result of results) {
    const known = best.get(result.settlement.id);
    if (known === undefined || sureness(known) < sureness(result)) best.set(result.settlement.id, result);
  }
  return [...best.values()];
}

function sureness({ settlement }: Result): number {
  return SURENESS[settlement.result.state];
}

function bytesOf({ copy, settlement }: Result): number {
  return (copy === null ? 0 : headOf(copy.raw).length) + settlement.telling.detail.length;
}
