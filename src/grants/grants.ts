import { randomBytes, randomUUID } from 'node:crypto';
import type { Query, Sql, Tx } from '../db/pool.ts';
import { putStop } from '../db/stops.ts';
import { transaction } from '../db/transaction.ts';
import { ApiError } from '../errors.ts';
import { type AppSerial, type GrantId, isUuid } from '../ids.ts';
import type { Credentials } from '../providers/provider.ts';
import { sealCredentials } from './credentials.ts';
import { type GrantEvent, tellOfGrant } from './grant-facts.ts';
import { storedSettings } from './settings.ts';
import type { Vault } from './vault.ts';

export type GrantProvider = 'practice' | 'imap' | 'google' | 'microsoft';
export type GrantState = 'valid' | 'expired' | 'deleted';
export type JsonObject = { readonly [name: string]: string | number | boolean | readonly string[] };

export interface Grant {
  readonly app: AppSerial;
  /** Travels in tokens. */
  readonly serial: number;
  readonly id: GrantId;
  readonly provider: GrantProvider;
  readonly email: string;
  /** '' where none is known. */
  readonly name: string;
  readonly state: GrantState;
  /** What may be shown; secrets are sealed apart. */
  readonly settings: JsonObject;
  readonly scope: readonly string[];
  /** Other addresses it writes from, in lower case. */
  readonly aliases: readonly string[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface NewGrant {
  readonly provider: GrantProvider;
  readonly email: string;
  readonly name?: string;
  readonly settings?: JsonObject;
  readonly scope?: readonly string[];
  /** In lower case. Absent: those that are known stay. */
  readonly aliases?: readonly string[];
  /** Sealed before they are stored. */
  readonly credentials?: Credentials;
}

export const PRACTICE_ADDRESS = 'sender@practice.test';

/**
 * One grant per address and application: authenticating again renews the one there is and keeps its id (D13).
 * An expired grant is valid again; a deleted one stays deleted, its address gets a new grant.
 */
export async function saveGrant(
  deps: { readonly sql: Sql; readonly vault: Pick<Vault, 'seal'> },
  app: number,
  grant: NewGrant,
): Promise<{ readonly grant: Grant; readonly created: boolean }> {
  return await transaction(deps.sql, async (tx) => await writeGrant(tx, deps.vault, app, grant));
}

/**
 * The application's practice mailbox, which needs no account anywhere: the valid one there is, else a new or renewed one.
 */
export async function createPracticeGrant(
  deps: { readonly sql: Sql; readonly vault: Pick<Vault, 'seal'> },
  app: number,
): Promise<Grant> {
  const known = await findGrant(deps.sql, app, PRACTICE_ADDRESS);
  if (known?.provider === 'practice' && known.state === 'valid') return known;
  return await transaction(deps.sql, async (tx) => await addPracticeGrant(tx, deps.vault, app));
}

/** The same for an application that has none yet, as part of making that one. */
export async function addPracticeGrant(tx: Tx, vault: Pick<Vault, 'seal'>, app: number): Promise<Grant> {
  const { grant } = await writeGrant(tx, vault, app, {
    provider: 'practice',
    email: PRACTICE_ADDRESS,
    name: 'Practice Sender',
    credentials: { provider: 'practice', key: randomBytes(32).toString('base64url') },
  });
  return grant;
}

/**
 * The grant that a path names (contract 5.1): id, `grant:<id>`, address, `email:<address>`, `external:<id>`.
 * Throws 404 grant.not_found, and 401 for `me`, which only an access token can mean. Expired grants are found,
 * deleted ones are not.
 */
export async function resolveGrant(sql: Query, app: number, identifier: string): Promise<Grant> {
  return found(identifier, await findGrant(sql, app, identifier));
}

/** What `resolveGrant` throws where nothing was found. */
export function found<T>(identifier: string, what: T | null): T {
  if (what !== null) return what;
  if (identifier === 'me') {
    throw new ApiError(401, 'api.authentication_error', 'Unauthorized: the grant "me" needs an access token.');
  }
  throw new ApiError(404, 'grant.not_found', 'Grant not found.');
}

/** As `resolveGrant`, but null instead of a refusal. */
export async function findGrant(sql: Query, app: number, identifier: string): Promise<Grant | null> {
  const named = readIdentifier(identifier);
  if (named === null) return null;
  const by = 'id' in named ? sql`id = ${named.id}` : sql`lower(email) = lower(${named.email})`;
  const [row] = await sql<GrantRow[]>`select * from grants where app = ${app} and ${by} and state <> 'deleted'`;
  return row ? toGrant(row) : null;
}

/** Null for what can name no grant. The address in lower case. */
export function readIdentifier(identifier: string): { readonly id: string } | { readonly email: string } | null {
  const [, form, rest] = /^(grant|email|external):(.*)$/s.exec(identifier) ?? [null, null, identifier];
  const text = (rest ?? '').toLowerCase();
  if (form === 'external') return null; // nothing gives a grant an external id yet
  if (form !== 'email' && isUuid(text)) return { id: text };
  return form === 'grant' || !text.includes('@') || text.includes('\0') ? null : { email: text };
}

/** For calls that need the mailbox: 401 while the grant waits for re-authentication (D13). */
export function requireValid(grant: Grant): void {
  if (grant.state !== 'valid') {
    throw new ApiError(401, 'api.authentication_error', 'Unauthorized: the grant has expired; authenticate it again.');
  }
}

/** Tells of it in the same transaction. Null where the grant has gone meanwhile. */
export async function updateGrant(
  sql: Sql,
  app: number,
  id: GrantId,
  { scope }: Pick<Grant, 'scope'>,
): Promise<Grant | null> {
  return await transaction(sql, async (tx) => {
    const [row] = await tx<GrantRow[]>`
      update grants set scope = ${[...scope]}::text[], updated_at = now()
      where app = ${app} and id = ${id} and state <> 'deleted' returning *`;
    return row ? await tell(tx, 'changed', toGrant(row)) : null;
  });
}

/**
 * The provider refuses the credentials: sending and watching wait for re-authentication. Told once, by the call that
 * made it so. False where nothing changed.
 */
export async function expireGrant(sql: Sql, app: number, id: GrantId): Promise<boolean> {
  return await transaction(sql, (tx) => expireWithin(tx, app, id));
}

/** As `expireGrant`, as part of a larger change. */
export async function expireWithin(tx: Tx, app: number, id: GrantId): Promise<boolean> {
  const [row] = await tx<GrantRow[]>`
    update grants set state = 'expired', updated_at = now()
    where app = ${app} and id = ${id} and state = 'valid' returning *`;
  if (row) await tell(tx, 'expired', toGrant(row));
  return row !== undefined;
}

/**
 * Deletes for good (D12): the credentials are erased, the address is free again, and in the same transaction its links
 * and pixels stop, or only forward, as the application's setting says. False where it was deleted already.
 */
export async function deleteGrant(sql: Sql, app: number, id: GrantId): Promise<boolean> {
  return await transaction(sql, async (tx) => {
    // The shared lock keeps a change of the setting, which changes existing stops, before or after but not beside us.
    const [application] = await tx<{ settings: unknown }[]>`
      select settings from applications where serial = ${app} for share`;
    const [row] = await tx<GrantRow[]>`
      update grants set state = 'deleted', deleted_at = now(), updated_at = now(), credentials = null, settings = '{}', aliases = '{}'
      where app = ${app} and id = ${id} and state <> 'deleted' returning *`;
    if (!row) return false;
    const action = storedSettings(application?.settings).deletedGrantLinks;
    await putStop(tx, { app, kind: 'grant', subject: String(row.serial), action });
    await tell(tx, 'deleted', toGrant(row));
    return true;
  });
}

export interface WireGrant {
  readonly id: string;
  readonly provider: Exclude<GrantProvider, 'practice'>;
  readonly grant_status: 'valid' | 'invalid';
  readonly email: string;
  readonly email_aliases?: readonly string[];
  readonly name?: string;
  readonly settings: JsonObject;
  readonly scope: readonly string[];
  readonly created_at: number;
  readonly updated_at: number;
}

/** 'practice' is shown as 'imap': the SDKs' enums know no other word for it. */
export function wireProvider(provider: GrantProvider): Exclude<GrantProvider, 'practice'> {
  return provider === 'practice' ? 'imap' : provider;
}

/** The grant as Nylas shows it. */
export function toWire(grant: Grant): WireGrant {
  return {
    id: grant.id,
    provider: wireProvider(grant.provider),
    grant_status: grant.state === 'valid' ? 'valid' : 'invalid',
    email: grant.email,
    ...(grant.aliases.length > 0 && { email_aliases: grant.aliases }),
    ...(grant.name === '' ? {} : { name: grant.name }),
    settings: grant.settings,
    scope: grant.scope,
    created_at: seconds(grant.createdAt),
    updated_at: seconds(grant.updatedAt),
  };
}

/**
 * Authenticates this very grant again, its settings replaced; null where it was deleted meanwhile: unlike its address, it
 * does not come back.
 */
export async function renewGrant(
  deps: { readonly sql: Sql; readonly vault: Pick<Vault, 'seal'> },
  { app, id }: Pick<Grant, 'app' | 'id'>,
  renewed: Required<Pick<NewGrant, 'settings' | 'credentials' | 'scope'>> & Pick<NewGrant, 'aliases'>,
): Promise<Grant | null> {
  const sealed = sealCredentials(deps.vault, id, renewed.credentials);
  return await transaction(deps.sql, async (tx) => {
    const [row] = await tx<GrantRow[]>`
      update grants set settings = ${tx.json({ ...renewed.settings })}, scope = ${[...renewed.scope]}::text[],
        credentials = ${sealed}, state = 'valid', updated_at = now(),
        aliases = ${renewed.aliases === undefined ? tx`aliases` : tx`${[...renewed.aliases]}::text[]`}
      where app = ${app} and id = ${id} and state <> 'deleted' returning *`;
    return row ? await tell(tx, 'reauthenticated', toGrant(row)) : null;
  });
}

async function writeGrant(
  tx: Tx,
  vault: Pick<Vault, 'seal'>,
  app: number,
  grant: NewGrant,
): Promise<{ readonly grant: Grant; readonly created: boolean }> {
  const [row] = await tx<(GrantRow & { readonly created: boolean })[]>`
    insert into grants (app, id, provider, email, name, settings, scope, aliases)
    values (${app}, ${randomUUID()}, ${grant.provider}, ${grant.email}, ${grant.name ?? ''},
      ${tx.json({ ...grant.settings })}, ${[...(grant.scope ?? [])]}, ${[...(grant.aliases ?? [])]}::text[])
    on conflict (app, lower(email)) where state <> 'deleted' do update set
      provider = excluded.provider, settings = excluded.settings, state = 'valid',
      scope = ${grant.scope === undefined ? tx`grants.scope` : tx`excluded.scope`},
      aliases = ${grant.aliases === undefined ? tx`grants.aliases` : tx`excluded.aliases`},
      name = coalesce(nullif(excluded.name, ''), grants.name), updated_at = now()
    returning *, xmax = 0 as created`;
  if (!row) throw new Error('a saved grant gave no row');
  const sealed = grant.credentials === undefined ? null : sealCredentials(vault, row.id, grant.credentials);
  await tx`update grants set credentials = ${sealed} where app = ${app} and id = ${row.id}`;
  const saved = await tell(tx, row.created ? 'created' : 'reauthenticated', toGrant(row));
  return { grant: saved, created: row.created };
}

async function tell(tx: Tx, event: GrantEvent, grant: Grant): Promise<Grant> {
  await tellOfGrant(tx, event, { ...grant, provider: toWire(grant).provider });
  return grant;
}

export interface GrantRow {
  readonly app: AppSerial;
  readonly serial: number;
  readonly id: GrantId;
  readonly provider: GrantProvider;
  readonly email: string;
  readonly name: string;
  readonly state: GrantState;
  readonly settings: JsonObject;
  readonly scope: readonly string[];
  readonly aliases: readonly string[];
  readonly created_at: Date;
  readonly updated_at: Date;
}

export function toGrant(row: GrantRow): Grant {
  const { app, serial, id, provider, email, name, state, settings, scope, aliases } = row;
  return {
    app,
    serial,
    id,
    provider,
    email,
    name,
    state,
    settings,
    scope,
    aliases,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}
