import { isDriverLoss, type Sql, type Tx } from './pool.ts';

/**
 * A READ COMMITTED transaction, also where the server's default is another one.
 *
 * When the connection is gone, `work` is left pending instead of failing: the driver (3.4.9) would answer its failure
 * with a rollback on the closed connection, a write that throws outside every promise and ends the process
 * (porsager/postgres#1208). The closing itself rejects the transaction.
 */
export async function transaction<T>(sql: Sql, work: (tx: Tx) => Promise<T>): Promise<T> {
  const holder: { result?: T } = {};
  await sql.begin('isolation level read committed', async (tx) => {
    try {
      holder.result = await work(tx);
    } catch (error) {
      if (isDriverLoss(error) || isFatal(error)) await new Promise<never>(() => {});
      throw error;
    }
  });
  if (!('result' in holder)) throw new Error('committed without a result');
  return holder.result;
}

/** After an error of this severity the server closes the connection. */
function isFatal(error: unknown): boolean {
  return error instanceof Error && 'severity' in error && (error.severity === 'FATAL' || error.severity === 'PANIC');
}
