const YEAR_10000_MS = Date.UTC(10_000, 0, 1);

/** When a mailbox got a mail: now, where it says what PostgreSQL cannot hold, or a time before there was mail. */
export function receivedTime(said: Date): Date {
  const ms = said.getTime();
  return ms >= 0 && ms < YEAR_10000_MS ? said : new Date();
}
