import { randomUUID } from 'node:crypto';
import { LOCKS } from '../db/locks.ts';
import type { Query, Sql } from '../db/pool.ts';
import { changeStops } from '../db/stops.ts';
import { transaction } from '../db/transaction.ts';
import type { ApplicationId, AppSerial } from '../ids.ts';
import { type Profile, type ProfilePatch, profileToStore, storedProfile } from './profile.ts';
import { type SettingsPatch, settingsToStore, storedSettings, type TrackingSettings } from './settings.ts';

/** A sandbox application may do everything but track (D5). */
export type Environment = 'production' | 'sandbox';

export interface Application {
  readonly serial: AppSerial;
  readonly id: ApplicationId;
  /** By which the operator knows it, unique; what it calls itself stands in its profile. */
  readonly name: string;
  readonly environment: Environment;
  readonly settings: TrackingSettings;
  readonly profile: Profile;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface ApplicationPatch {
  readonly settings?: SettingsPatch;
  readonly profile?: ProfilePatch;
}

const FIRST_NAME = 'default';
const LONGEST_NAME = 100;

/** What is wrong with a name, or null. */
export function nameProblem(name: string): string | null {
  if (name.trim() !== name || name === '') return 'must not be empty nor begin or end with a space';
  if (name.length > LONGEST_NAME) return `must have at most ${LONGEST_NAME} characters`;
  return /\p{Cc}/u.test(name) ? 'must not contain control characters' : null;
}

/** Null where another application has that name. */
export async function createApplication(
  sql: Query,
  application: { readonly name: string; readonly environment: Environment },
): Promise<Application | null> {
  const [row] = await sql<Row[]>`
    insert into applications (id, name, environment)
    values (${randomUUID()}, ${application.name}, ${application.environment})
    on conflict (name) do nothing returning *`;
  return row ? fromRow(row) : null;
}

/** The oldest application; made now, for production, where there is none. Processes that start at once get the same one. */
export async function firstApplication(
  sql: Sql,
): Promise<{ readonly application: Application; readonly created: boolean }> {
  return await transaction(sql, async (tx) => {
    // One process makes it, the others find it.
    await tx`select pg_advisory_xact_lock(${LOCKS.firstApplication})`;
    const [row] = await tx<Row[]>`select * from applications order by serial limit 1`;
    if (row) return { application: fromRow(row), created: false };
    const application = await createApplication(tx, { name: FIRST_NAME, environment: 'production' });
    if (application === null) throw new Error('the first application appeared under its own lock');
    return { application, created: true };
  });
}

/** Oldest first. */
export async function listApplications(sql: Query): Promise<readonly Application[]> {
  const rows = await sql<Row[]>`select * from applications order by serial`;
  return rows.map(fromRow);
}

export async function getApplication(sql: Query, app: number): Promise<Application | null> {
  const [row] = await sql<Row[]>`select * from applications where serial = ${app}`;
  return row ? fromRow(row) : null;
}

/** By id or by name. */
export async function findApplication(sql: Query, idOrName: string): Promise<Application | null> {
  const [row] = await sql<Row[]>`
    select * from applications where id::text = ${idOrName.toLowerCase()} or name = ${idOrName}
    order by name = ${idOrName} limit 1`;
  return row ? fromRow(row) : null;
}

/**
 * Changes what the patch names and keeps the rest. A new `deletedGrantLinks` also changes the stops of grants deleted
 * before.
 */
export async function updateApplication(
  sql: Sql,
  app: number,
  patch: ApplicationPatch,
): Promise<Application | 'unknown'> {
  return await transaction(sql, async (tx) => {
    // The row lock keeps a grant's deletion, which reads this setting, before or after but not beside us.
    const [row] = await tx<Row[]>`select * from applications where serial = ${app} for update`;
    if (!row) return 'unknown';
    const old = fromRow(row);
    const settings = { ...old.settings, ...patch.settings };
    const [changed] = await tx<Row[]>`
      update applications set settings = ${tx.json({ ...settingsToStore(settings) })},
        profile = ${profileToStore({ ...old.profile, ...patch.profile })}::text::jsonb, updated_at = now()
      where serial = ${app} returning *`;
    if (settings.deletedGrantLinks !== old.settings.deletedGrantLinks) {
      await changeStops(tx, app, 'grant', settings.deletedGrantLinks);
    }
    return changed ? fromRow(changed) : 'unknown';
  });
}

/** From sandbox to production; there is no way back. False where it was production already. */
export async function upgradeApplication(sql: Query, app: number): Promise<boolean> {
  const rows = await sql`
    update applications set environment = 'production', updated_at = now()
    where serial = ${app} and environment = 'sandbox' returning serial`;
  return rows.length > 0;
}

interface Row {
  readonly serial: AppSerial;
  readonly id: ApplicationId;
  readonly name: string;
  readonly environment: Environment;
  readonly settings: unknown;
  readonly profile: unknown;
  readonly created_at: Date;
  readonly updated_at: Date;
}

function fromRow(row: Row): Application {
  return {
    serial: row.serial,
    id: row.id,
    name: row.name,
    environment: row.environment,
    settings: storedSettings(row.settings),
    profile: storedProfile(row.profile),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
