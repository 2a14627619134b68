import { gather } from '../db/gather.ts';
import { retrying, type Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { failureOf } from '../tracking/failure.ts';
import {
  isUnstorable,
  type Reservation,
  type Reserved,
  reserveAll,
  type Settlement,
  settleAll,
} from '../tracking/messages.ts';
import { type NewSentCopy, putSentCopies } from './sent-copies.ts';

/** What sending writes down before and after, many at once together. */
export interface Ledger {
  /** Committed when it resolves. */
  reserve(reservation: Reservation): Promise<Reserved>;
  /** Answers whether the message changed; the copy is kept only then. Waits for a database that is being restarted. */
  settle(settlement: Settlement, copy: NewSentCopy | null): Promise<boolean>;
}

/** Larger batches gain nothing, and a commit should not wait for many large copies. */
const AT_ONCE = 50;

export function makeLedger(sql: Sql): Ledger {
  const isTheirs = (error: unknown): boolean => failureOf(error).kind !== 'wait';
  const reserve = gather<Reservation, true>({
    atOnce: AT_ONCE,
    isTheirs,
    async run(reservations) {
      await reserveAll(sql, reservations);
      return reservations.map(() => true);
    },
  });
  const settle = gather<{ readonly settlement: Settlement; readonly copy: NewSentCopy | null }, boolean>({
    atOnce: AT_ONCE,
    isTheirs,
    async run(results) {
      const settlements = results.map(({ settlement }) => settlement);
      const copies = results.flatMap(({ copy }) => copy ?? []);
      const changed = await retrying(() =>
        copies.length === 0
          ? settleAll(sql, settlements)
          : transaction(sql, async (tx) => {
              const ids = await settleAll(tx, settlements);
              await putSentCopies(
                tx,
                copies.filter(({ message }) => ids.has(message)),
              );
              return ids;
            }),
      );
      return settlements.map(({ id }) => changed.has(id));
    },
  });
  return {
    async reserve(reservation) {
      try {
        await reserve(reservation);
        return 'reserved';
      } catch (error) {
        if (isUnstorable(error)) return 'unstorable';
        throw error;
      }
    },
    settle: (settlement, copy) => settle({ settlement, copy }),
  };
}
