import { createConnection, type Socket } from 'node:net';
import postgres from 'postgres';
import { ARRAY_TYPES } from './arrays.ts';

export type Sql = postgres.Sql;
/** A pool or an open transaction. Functions that must share a transaction say so by taking `Tx`. */
export type Query = postgres.ISql<NonNullable<unknown>>;
export type Tx = postgres.TransactionSql;

/** Where the database listens: a URL, or the socket of the embedded server. */
export type Connection =
  | string
  | {
      readonly host: string;
      readonly port: number;
      readonly database: string;
      readonly username: string;
      readonly password?: string;
    };

export interface PoolOptions {
  /** Connections at most; the embedded server allows 40 in all. */
  readonly max?: number;
  readonly applicationName?: string;
}

export function connect(connection: Connection, options: PoolOptions = {}): Sql {
  const common = {
    max: options.max ?? 10,
    connect_timeout: 5,
    idle_timeout: 60,
    max_lifetime: 60 * 60,
    backoff: (retries: number) => Math.min(2 ** retries * 0.05, 1),
    connection: { application_name: options.applicationName ?? 'telltale', TimeZone: 'UTC' },
    onnotice: () => {},
    fetch_types: false,
    types: ARRAY_TYPES,
  } as const;
  const where = typeof connection === 'string' ? (socketOf(connection) ?? connection) : connection;
  const sockets = new Set<Socket>();
  const socket = (target: Target): Socket => open(target, sockets);
  // The driver's types do not know the option that its documentation names ("Custom socket").
  const ours: typeof common & { socket: typeof socket } = { ...common, socket };
  const sql = typeof where === 'string' ? postgres(where, ours) : postgres({ ...where, ...ours });
  lines.set(sql, sockets);
  return sql;
}

const lines = new WeakMap<Sql, Set<Socket>>();

/**
 * Ends every connection of a pool from our side: what waits for an answer fails as lost, and the next query connects
 * anew. For a network that went silent, where TCP alone would give up only after a quarter of an hour.
 */
export function cutConnections(sql: Sql): void {
  for (const socket of lines.get(sql) ?? []) socket.destroy();
}

/** What the driver has made of host, port and path. */
interface Target {
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path?: string | false;
}

/** Not connected yet: the driver writes into it at once, and its own time-out and close handling see to the rest. */
function open(target: Target, sockets: Set<Socket>): Socket {
  const [host = 'localhost'] = target.host;
  const [port = 5432] = target.port;
  const socket = target.path ? createConnection(target.path) : createConnection({ host, port, noDelay: true });
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket));
  return Object.assign(socket, { host, port }); // what it takes the TLS server name from
}

/** libpq's form for a Unix socket, `postgres:///database?host=/folder&user=name`, which the driver does not read. */
function socketOf(url: string): Exclude<Connection, string> | null {
  const { searchParams, pathname, port, username } = new URL(url);
  const host = searchParams.get('host');
  if (host === null || !host.startsWith('/')) return null;
  const user = searchParams.get('user') ?? decodeURIComponent(username);
  const password = searchParams.get('password');
  return {
    host,
    port: Number(port || searchParams.get('port') || 5432),
    database: decodeURIComponent(pathname.slice(1)) || user,
    username: user,
    ...(password === null ? {} : { password }),
  };
}

/** SQLSTATE classes and driver codes that mean "the server went away", never "the statement was wrong". */
const LOST = new Set([
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '53300', // too_many_connections
  '08000',
  '08001',
  '08003',
  '08004',
  '08006',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT', // the socket of a server that is starting
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
]);

export function isConnectionLost(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && LOST.has(error.code);
}

/** The same for a connection that was there: a file that is missing or a host that cannot be found is something else. */
export function isDriverLoss(error: unknown): boolean {
  return (
    isConnectionLost(error) &&
    /^(CONNECT|57P|08|ECONNRESET|EPIPE|ETIMEDOUT)/.test(String(Reflect.get(Object(error), 'code')))
  );
}

/** Deadlock or serialisation failure: the whole transaction may simply be run again. */
export function isTransient(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === '40P01' || error.code === '40001');
}

/**
 * Runs `work` again while the server is restarting, for at most `forMs` (default 10 s).
 * Only for work that may run twice: reads, and writes whose second run changes nothing.
 */
export async function retrying<T>(work: () => Promise<T>, forMs = 10_000): Promise<T> {
  const deadline = Date.now() + forMs;
  for (let wait = 20; ; wait = Math.min(wait * 2, 500)) {
    try {
      return await work();
    } catch (error) {
      if (!(isConnectionLost(error) || isTransient(error)) || Date.now() + wait > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}
