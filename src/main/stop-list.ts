import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sql } from '../db/pool.ts';
import { isConnectionLost } from '../db/pool.ts';
import { readStops, type Stop, type StopAction, type StopTable } from '../db/stops.ts';
import type { Log } from '../log.ts';

const POLL_MS = 1000;

/** The stops as the edge asks for them: in memory, from the last copy on disk until the database is there. */
export interface StopList {
  grant(app: number, grant: number): StopAction | null;
  message(app: number, messageId: string): boolean;
  host(host: string): boolean;
  /** Starts following the database: every second, and at once when `refresh` is called. */
  follow(sql: Sql): Promise<void>;
  /** Resolves when what was committed before the call is known. */
  refresh(): Promise<void>;
  close(): void;
}

export async function loadStopList(deps: { readonly dataDir: string; readonly log: Log }): Promise<StopList> {
  const file = join(deps.dataDir, 'stops.json');
  let version = -1;
  let actions = new Map<string, StopAction>();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | null = null;
  let source: Sql | null = null;
  let unwritten: StopTable | null = null;

  const adopt = (table: StopTable): void => {
    version = table.version;
    actions = new Map(table.stops.map((stop) => [keyOf(stop), stop.action]));
  };
  const poll = async (): Promise<void> => {
    if (source === null) return;
    try {
      const table = await readStops(source, version);
      if (table !== null) {
        adopt(table);
        unwritten = table;
      }
      // Tried at every poll until it succeeds: a full disk must not leave an old copy behind for the next start.
      if (unwritten !== null) await write(unwritten);
      unwritten = null;
    } catch (error) {
      if (!isConnectionLost(error)) deps.log.error({ err: error }, 'stops.not_read');
    }
  };
  const write = async (table: StopTable): Promise<void> => {
    await writeFile(`${file}.new`, JSON.stringify(table), { mode: 0o600 });
    await rename(`${file}.new`, file);
  };
  const refresh = (): Promise<void> => {
    running ??= poll().finally(() => {
      running = null;
    });
    return running;
  };

  const copy = await readFile(file, 'utf8').catch(() => null);
  if (copy !== null) adopt(parseCopy(copy));
  return {
    grant: (app, grant) => actions.get(`${app} grant ${grant}`) ?? null,
    message: (app, messageId) => actions.has(`${app} message ${messageId}`),
    host: (host) => actions.has(`0 host ${host}`),
    async follow(sql) {
      source = sql;
      await refresh();
      timer = setInterval(() => void refresh(), POLL_MS).unref();
    },
    async refresh() {
      await running; // it may have read before
      await refresh();
    },
    close: () => clearInterval(timer),
  };
}

function keyOf(stop: Stop): string {
  return stop.kind === 'host' ? `0 host ${stop.subject}` : `${stop.app} ${stop.kind} ${stop.subject}`;
}

/** A damaged copy counts as none (version -1): the database's table replaces it as soon as it is there. */
function parseCopy(text: string): StopTable {
  try {
    const table: unknown = JSON.parse(text);
    if (typeof table === 'object' && table !== null && 'version' in table && 'stops' in table) {
      const { version, stops } = table;
      if (typeof version === 'number' && Array.isArray(stops)) return { version, stops: stops.filter(isStop) };
    }
  } catch {
    // fall through
  }
  return { version: -1, stops: [] };
}

function isStop(value: unknown): value is Stop {
  const { app, kind, subject, action } = Object(value);
  return (
    typeof app === 'number' &&
    typeof subject === 'string' &&
    (kind === 'grant' || kind === 'message' || kind === 'host') &&
    (action === 'stop' || action === 'forward')
  );
}
