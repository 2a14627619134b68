import type { Query, Tx } from './pool.ts';

export type StopKind = 'grant' | 'message' | 'host';
export type StopAction = 'stop' | 'forward';

export interface Stop {
  readonly app: number;
  readonly kind: StopKind;
  /** Grant serial, message uuid or host name. */
  readonly subject: string;
  readonly action: StopAction;
}

export interface StopTable {
  /** Rises with every change. */
  readonly version: number;
  readonly stops: readonly Stop[];
}

/** Adds or changes one stop. The version row's lock makes changes visible in the order of their versions. */
export async function putStop(tx: Tx, stop: Stop): Promise<void> {
  const version = await nextVersion(tx);
  await tx`
    insert into stops (app, kind, subject, action, version)
    values (${stop.app}, ${stop.kind}, ${stop.subject}, ${stop.action}, ${version})
    on conflict (app, kind, subject) do update set action = excluded.action, version = excluded.version`;
}

/** Gives every stop of this kind in the application another action (the setting `deleted_grant_links`). */
export async function changeStops(tx: Tx, app: number, kind: StopKind, action: StopAction): Promise<void> {
  const version = await nextVersion(tx);
  await tx`
    update stops set action = ${action}, version = ${version}
    where app = ${app} and kind = ${kind} and action <> ${action}`;
}

/** The whole table (it is small), or null while its version is still `known`. */
export async function readStops(sql: Query, known: number): Promise<StopTable | null> {
  // One statement, so that the version and the rows come from one snapshot.
  const rows = await sql<({ version: string } & (Stop | { readonly app: null }))[]>`
    select v.version, s.app, s.kind, s.subject, s.action
    from stop_version v left join stops s on true
    where v.version <> ${known}`;
  const version = rows[0]?.version;
  if (version === undefined) return null;
  return { version: Number(version), stops: rows.filter((row): row is { version: string } & Stop => row.app !== null) };
}

async function nextVersion(tx: Tx): Promise<number> {
  const [row] = await tx<{ version: string }[]>`
    update stop_version set version = version + 1 returning version`;
  return Number(row?.version ?? 0);
}
