/** Server settings by name, as `-c name=value`. */
export type Settings = Readonly<Record<string, string>>;

/** Sized for a service that shares a small machine with its database: many short transactions, hot small tables. */
export const SETTINGS: Settings = {
  max_connections: '60',
  shared_buffers: '64MB',
  huge_pages: 'off',
  // No helper processes for reading (18's default starts three): the data is small and in the page cache.
  io_method: 'sync',
  jit: 'off',
  // Parallel queries take their memory from /dev/shm, which a container limits to 64 MB.
  max_parallel_workers_per_gather: '0',
  max_logical_replication_workers: '0',
  max_locks_per_transaction: '128',

  // The supervisor restarts it instead. Its own restart hung for good, more than once, when its helper processes were
  // killed while it recovered: checkpointer and background writer alive, everybody refused (docs/decisions/0004).
  restart_after_crash: 'off',

  fsync: 'on',
  synchronous_commit: 'on',
  wal_compression: 'on',
  max_wal_size: '512MB',
  min_wal_size: '64MB',
  checkpoint_timeout: '10min',

  // Counters, claims and the outbox turn over many times a minute: visit often, in small portions, without pauses.
  autovacuum_naptime: '15s',
  autovacuum_max_workers: '2',
  autovacuum_vacuum_scale_factor: '0.05',
  autovacuum_vacuum_insert_scale_factor: '0.1',
  autovacuum_analyze_scale_factor: '0.05',
  autovacuum_vacuum_cost_delay: '1ms',

  timezone: 'UTC',
  log_timezone: 'UTC',
  // What `server-log` reads. No statements, parameters or details: they hold addresses.
  log_line_prefix: '%b|%e|',
  log_min_messages: 'warning',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_checkpoints: 'off',
};

export function asArguments(settings: Settings): readonly string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
