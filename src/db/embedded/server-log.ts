// The server's standard error: what matters goes to our log, the last lines are kept to explain a failed start.
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface Log {
  info(fields: object, event: string): void;
  warn(fields: object, event: string): void;
  error(fields: object, event: string): void;
}

export interface ServerLog {
  /** The newest lines, oldest first. */
  recent(): readonly string[];
}

export type Line = { readonly level: 'warn' | 'error' | 'none'; readonly fields: object };

const KEPT_LINES = 12;

/** PostgreSQL reports these as mere LOG lines. */
const NOTABLE = /terminated by|not properly shut down|could not|too frequently|still in use|corrupt/;

/** Refusals while the server starts or stops: clients retry them, and our own messages tell the rest. */
const EXPECTED_STATES = new Set(['57P01', '57P03']);

/** Resources, system and internal errors. Any other error of a connection is its client's business, and told to it. */
const SERVER_TROUBLE = /^(53|58|XX)/;

export function readServerLog(stream: Readable, log: Log): ServerLog {
  const recent: string[] = [];
  createInterface({ input: stream }).on('line', (text) => {
    recent.push(text);
    if (recent.length > KEPT_LINES) recent.shift();
    const line = parseLine(text);
    if (line.level !== 'none') log[line.level](line.fields, 'postgres.log');
  });
  return { recent: () => recent };
}

/** Reads `backend type|SQLSTATE|SEVERITY:  message`, the form our `log_line_prefix` gives. */
export function parseLine(text: string): Line {
  const match = /^([^|]*)\|([^|]*)\|([A-Z0-9]+): {2}(.*)$/s.exec(text);
  if (!match) return { level: text.startsWith('\t') || text === '' ? 'none' : 'warn', fields: { message: text } };
  const [, process = '', state = '', severity = '', message = ''] = match;
  const fields = { process, state, severity, message };
  if (EXPECTED_STATES.has(state)) return { level: 'none', fields };
  if (process === 'client backend' && !SERVER_TROUBLE.test(state)) return { level: 'none', fields };
  if (severity === 'FATAL' || severity === 'PANIC') return { level: 'error', fields };
  if (severity === 'ERROR' || severity === 'WARNING') return { level: 'warn', fields };
  return { level: severity === 'LOG' && NOTABLE.test(message) ? 'warn' : 'none', fields };
}
