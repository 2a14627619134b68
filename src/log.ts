import { writeSync } from 'node:fs';
import { type Logger, pino } from 'pino';

export type Log = Logger;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** JSON lines on standard error: standard output belongs to what the operator asked to see. */
export function makeLog(level: LogLevel): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'event',
      serializers: { err: describeError },
    },
    standardError,
  );
}

/** A line that cannot be written (a full disk) is dropped: pino's own destination would try for ever, and nobody be served. */
const standardError = {
  write(line: string): void {
    try {
      writeSync(2, line);
    } catch {
      // nowhere to say so
    }
  },
};

/** What a server says, without the people it names: logs hold no addresses. */
export function withoutAddresses(text: string): string {
  return text.replace(/[^\s<>()[\]:;,"]+(?:@|%40)[^\s<>()[\]:;,"']+/g, '(address)');
}

/** Not the driver's `detail`, `where` or `query`: they quote rows, and rows hold addresses. */
function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const code = 'code' in error ? { code: error.code } : {};
  const cause = error.cause === undefined ? {} : { cause: describeError(error.cause) };
  return { type: error.name, message: error.message, ...code, stack: error.stack, ...cause };
}
