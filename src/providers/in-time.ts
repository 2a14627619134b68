/** The caller's time was over. */
export class OutOfTime extends Error {}

export const TOO_LATE = { kind: 'unreachable', reason: 'the time for this call was over' } as const;

/** Waits for `promise` until the signal aborts; rejects then with {@link OutOfTime}, whatever else has failed on the way. */
export async function inTime<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  let leave = (): void => {};
  const late = new Promise<never>((_, reject) => {
    leave = () => reject(new OutOfTime());
  });
  if (signal.aborted) leave();
  else signal.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([promise, late]);
  } catch (error) {
    throw signal.aborted ? new OutOfTime() : error;
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
