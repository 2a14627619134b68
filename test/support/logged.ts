import { pino } from 'pino';
import type { Log } from '../../src/log.ts';

export interface Logged {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A log that is kept instead of shown. */
export function silentLog(): { readonly log: Log; readonly logged: Logged[] } {
  const logged: Logged[] = [];
  const log = pino(
    { base: null, timestamp: false, messageKey: 'event', formatters: { level: (label) => ({ level: label }) } },
    {
      write(line: string) {
        const fields: Record<string, unknown> = JSON.parse(line);
        logged.push({ event: String(fields.event), fields });
      },
    },
  );
  return { log, logged };
}
