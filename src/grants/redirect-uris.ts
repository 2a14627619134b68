// Where an application's own logins lead back to: kept for it as Nylas keeps them.
import type { Query, Sql, Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { isUuid, uuidv7 } from '../ids.ts';

export const PLATFORMS = ['web', 'js', 'desktop', 'mobile', 'ios', 'android'] as const;
export type Platform = (typeof PLATFORMS)[number];

/** Under their wire names. */
export const PLATFORM_SETTINGS = [
  'origin',
  'bundle_id',
  'app_store_id',
  'team_id',
  'package_name',
  'sha1_certificate_fingerprint',
] as const;
export type PlatformSettings = { readonly [Name in (typeof PLATFORM_SETTINGS)[number]]?: string };

export interface RedirectUri {
  /** UUID text, also on the wire. */
  readonly id: string;
  /** As it was written: whoever compares it compares texts (RFC 6749 section 3.1.2.3). */
  readonly url: string;
  readonly platform: Platform;
  readonly settings: PlatformSettings;
}

export type RedirectUriPatch = Partial<Omit<RedirectUri, 'id'>>;
export type NotKept =
  | { readonly kind: 'taken' }
  | { readonly kind: 'too_many' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'wrong_url'; readonly rule: string };
export type Kept = { readonly kind: 'kept'; readonly uri: RedirectUri } | NotKept;

export const MOST_REDIRECT_URIS = 100;
const LONGEST_URL = 2000;
/** Programs of one's own answer to a scheme of their own (RFC 8252 section 7.1). */
const OWN_SCHEMES: readonly Platform[] = ['desktop', 'mobile', 'ios', 'android'];
/** What a browser runs or opens by itself leads back to no program. */
const OF_BROWSERS = /^(javascript|vbscript|data|file|blob|about|filesystem|view-source|ws|wss|ftp|mailto|tel|sms):/i;

/** What is wrong with a URL for this platform, or null. */
export function redirectUrlProblem(url: string, platform: Platform): string | null {
  if (url.length > LONGEST_URL) return `must have at most ${LONGEST_URL} characters`;
  if (!/^[\x21-\x7e]+$/.test(url)) return 'must be a URL in visible ASCII characters, others percent-encoded';
  if (!URL.canParse(url) || OF_BROWSERS.test(url)) return EXPECTED[ownScheme(platform) ? 'own' : 'web'];
  const { protocol, hostname, username, password } = new URL(url);
  if (url.includes('#')) return 'must have no fragment';
  if (username !== '' || password !== '') return 'must not contain a user name or password';
  if (protocol === 'https:') return null;
  if (protocol === 'http:')
    return isLoopback(hostname) ? null : 'must begin with https:// (http:// for localhost only)';
  return ownScheme(platform) ? null : EXPECTED.web;
}

const EXPECTED = {
  web: 'must be a URL such as https://app.example.com/callback (http:// for localhost only)',
  own: 'must be a URL such as https://app.example.com/callback or com.example.app://callback',
} as const;

/** Oldest first. */
export async function listRedirectUris(sql: Query, app: number): Promise<readonly RedirectUri[]> {
  const rows = await sql<Row[]>`
    select id, url, platform, settings from redirect_uris where app = ${app} order by created_at, id`;
  return rows.map(fromRow);
}

/** Null for an unknown id, and for a text that is none. */
export async function getRedirectUri(sql: Query, app: number, id: string): Promise<RedirectUri | null> {
  const uuid = id.toLowerCase();
  if (!isUuid(uuid)) return null;
  const [row] = await sql<Row[]>`
    select id, url, platform, settings from redirect_uris where app = ${app} and id = ${uuid}`;
  return row ? fromRow(row) : null;
}

/** 'unknown': there is no such application. */
export async function addRedirectUri(sql: Sql, app: number, added: Omit<RedirectUri, 'id'>): Promise<Kept> {
  const rule = redirectUrlProblem(added.url, added.platform);
  if (rule !== null) return { kind: 'wrong_url', rule };
  return await alone(sql, app, async (tx) => {
    const [counted] = await tx<{ count: number }[]>`
      select count(*)::integer as count from redirect_uris where app = ${app}`;
    const [row] = await tx<Row[]>`
      insert into redirect_uris (app, id, url, platform, settings)
      select ${app}, ${uuidv7()}::uuid, ${added.url}, ${added.platform}, ${tx.json({ ...added.settings })}
      where ${(counted?.count ?? 0) < MOST_REDIRECT_URIS}
      on conflict (app, url) do nothing returning id, url, platform, settings`;
    if (row) return { kind: 'kept', uri: fromRow(row) };
    return { kind: (await isTaken(tx, app, added.url)) ? 'taken' : 'too_many' };
  });
}

/** Changes what the patch names; settings are replaced as a whole. */
export async function changeRedirectUri(sql: Sql, app: number, id: string, patch: RedirectUriPatch): Promise<Kept> {
  return await alone(sql, app, async (tx) => {
    const old = await getRedirectUri(tx, app, id);
    if (old === null) return { kind: 'unknown' };
    const uri = { ...old, ...patch };
    const rule = redirectUrlProblem(uri.url, uri.platform);
    if (rule !== null) return { kind: 'wrong_url', rule };
    if (uri.url !== old.url && (await isTaken(tx, app, uri.url))) return { kind: 'taken' };
    const [row] = await tx<Row[]>`
      update redirect_uris set url = ${uri.url}, platform = ${uri.platform}, settings = ${tx.json({ ...uri.settings })}
      where app = ${app} and id = ${old.id} returning id, url, platform, settings`;
    return row ? { kind: 'kept', uri: fromRow(row) } : { kind: 'unknown' };
  });
}

/** False where there is none. */
export async function deleteRedirectUri(sql: Query, app: number, id: string): Promise<boolean> {
  const uuid = id.toLowerCase();
  if (!isUuid(uuid)) return false;
  const rows = await sql`delete from redirect_uris where app = ${app} and id = ${uuid} returning id`;
  return rows.length > 0;
}

/** The application's row is the lock: two that come at once are neither more than allowed nor the same. */
async function alone(sql: Sql, app: number, work: (tx: Tx) => Promise<Kept>): Promise<Kept> {
  return await transaction(sql, async (tx) => {
    const locked = await tx`select serial from applications where serial = ${app} for no key update`;
    return locked.length === 0 ? { kind: 'unknown' } : await work(tx);
  });
}

async function isTaken(tx: Tx, app: number, url: string): Promise<boolean> {
  return (await tx`select from redirect_uris where app = ${app} and url = ${url}`).length > 0;
}

function ownScheme(platform: Platform): boolean {
  return OWN_SCHEMES.includes(platform);
}

function isLoopback(hostname: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname);
}

interface Row {
  readonly id: string;
  readonly url: string;
  readonly platform: Platform;
  readonly settings: PlatformSettings;
}

function fromRow({ id, url, platform, settings }: Row): RedirectUri {
  return { id, url, platform, settings };
}
