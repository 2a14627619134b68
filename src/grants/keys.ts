// API keys: shown once, kept as a SHA-256 hash. 256 random bits need no slow hash: there is nothing to guess.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { Query, Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { StartError } from '../errors.ts';
import type { ApplicationId, AppSerial } from '../ids.ts';
import type { Environment } from './applications.ts';

export interface ApiKey {
  readonly app: AppSerial;
  readonly id: string;
  /** The key's last four characters; '' for a short one of the setting. */
  readonly hint: string;
  /** `setting`: of the environment; `kept`: made by a first start and kept in a data folder; `created`: by command. */
  readonly source: 'setting' | 'kept' | 'created';
  readonly createdAt: Date;
  readonly revokedAt: Date | null;
}

/** On whose behalf a key speaks. */
export interface KeyHolder {
  readonly app: AppSerial;
  readonly applicationId: ApplicationId;
  readonly environment: Environment;
}

const PREFIX = 'ttk_';
/** A known key is believed for so long without asking the database: the time a revoked one still works. */
const CACHE_MS = 1000;
const CACHE_KEYS = 1000;

/** Makes a key. Its text is in this answer and nowhere else. */
export async function createKey(sql: Query, app: number): Promise<{ readonly id: string; readonly key: string }> {
  const id = randomUUID();
  const key = PREFIX + randomBytes(32).toString('base64url');
  await sql`
    insert into api_keys (app, id, hash, hint, source) values (${app}, ${id}, ${hash(key)}, ${hint(key)}, 'created')`;
  return { id, key };
}

/** All keys, revoked ones too, oldest first; of one application or of all. */
export async function listKeys(sql: Query, app: number | null): Promise<readonly ApiKey[]> {
  return await sql<ApiKey[]>`
    select app, id, hint, source, created_at as "createdAt", revoked_at as "revokedAt" from api_keys
    where ${app}::integer is null or app = ${app} order by app, created_at, id`;
}

/** The key stops working within a second, in every process. */
export async function revokeKey(sql: Query, id: string): Promise<'revoked' | 'already' | 'unknown' | 'setting'> {
  const [row] = await sql<{ source: ApiKey['source']; old: Date | null }[]>`
    with found as (select app, id, source, revoked_at from api_keys where id = ${id} for update),
    changed as (
      update api_keys k set revoked_at = now() from found
      where k.app = found.app and k.id = found.id and k.revoked_at is null and k.source <> 'setting')
    select source, revoked_at as old from found`;
  if (!row) return 'unknown';
  if (row.old !== null) return 'already';
  return row.source === 'setting' ? 'setting' : 'revoked';
}

/**
 * Makes the key that the service starts with one of this application. One `from` the setting TELLTALE_API_KEY replaces
 * the key that the setting named before. One from a file in the data folder replaces nothing: every node that shares
 * the database has a folder and a key of its own.
 */
export async function ensureSettingKey(sql: Sql, app: number, key: string, from: 'setting' | 'file'): Promise<void> {
  const wanted = hash(key);
  const source: ApiKey['source'] = from === 'setting' ? 'setting' : 'kept';
  await transaction(sql, async (tx) => {
    if (from === 'setting') {
      await tx`
        update api_keys set revoked_at = now()
        where source = 'setting' and revoked_at is null and (hash <> ${wanted} or app <> ${app})`;
    }
    await tx`
      insert into api_keys (app, id, hash, hint, source) values (${app}, ${randomUUID()}, ${wanted}, ${hint(key)}, ${source})
      on conflict (hash) do update set revoked_at = null
      where api_keys.app = excluded.app and api_keys.source = 'setting' and excluded.source = 'setting'
        and api_keys.revoked_at is not null`;
    const [found] = await tx<{ app: number; revokedAt: Date | null }[]>`
      select app, revoked_at as "revokedAt" from api_keys where hash = ${wanted}`;
    const { name, remedy } = ORIGINS[from];
    if (found?.app !== app) throw new StartError([`${name}: this key belongs to another application. ${remedy}`]);
    if (found.revokedAt !== null) throw new StartError([`${name}: this key was revoked. ${remedy}`]);
  });
}

const ORIGINS = {
  setting: { name: 'TELLTALE_API_KEY', remedy: 'Choose another one.' },
  file: {
    name: 'The file api-key in the data folder',
    remedy: 'Remove the file, and the next start makes another key.',
  },
} as const;

export interface AuthenticatorDeps {
  readonly sql: Query;
  /** Milliseconds of a clock that does not jump. */
  readonly now?: () => number;
}

/** Who holds this key, or null. A lost database throws. */
export type Authenticate = (key: string) => Promise<KeyHolder | null>;

/** Known keys are remembered for a second, so a busy sender costs one look-up a second; unknown ones are not. */
export function makeAuthenticator({ sql, now = () => performance.now() }: AuthenticatorDeps): Authenticate {
  const known = new Map<string, { readonly until: number; readonly holder: Promise<KeyHolder | null> }>();
  return async (key) => {
    const digest = hash(key);
    const name = digest.toString('latin1');
    const remembered = known.get(name);
    if (remembered && remembered.until > now()) return await remembered.holder;
    if (known.size >= CACHE_KEYS) known.clear();
    // The second begins before the look-up: a key revoked while it runs is not believed for longer.
    const entry = { until: now() + CACHE_MS, holder: holderOf(sql, digest) };
    known.set(name, entry);
    const forget = (): void => {
      if (known.get(name) === entry) known.delete(name);
    };
    try {
      const holder = await entry.holder;
      if (holder === null) forget();
      return holder;
    } catch (error) {
      forget();
      throw error;
    }
  };
}

async function holderOf(sql: Query, digest: Buffer): Promise<KeyHolder | null> {
  const [row] = await sql<KeyHolder[]>`
    select a.serial as app, a.id as "applicationId", a.environment
    from api_keys k join applications a on a.serial = k.app
    where k.hash = ${digest} and k.revoked_at is null`;
  return row ?? null;
}

function hash(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** Nothing of a key so short that four characters would give much of it away. */
function hint(key: string): string {
  return key.length < 24 ? '' : key.slice(-4);
}
