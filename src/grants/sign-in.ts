// Signing in to the practice mailbox and the pages behind it: a one-time token in a printed address opens a session,
// which is a signed cookie and no row.
import { createHash, createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Query } from '../db/pool.ts';

const TOKEN_HOURS = 24;
export const SESSION_HOURS = 12;

/** A fresh token, good for one sign-in within 24 hours. Only its hash is kept. */
export async function createSignInToken(sql: Query): Promise<string> {
  const token = randomBytes(32).toString('base64url');
  await sql`delete from sign_in_tokens where expires_at < now()`;
  await sql`
    insert into sign_in_tokens (hash, expires_at)
    values (${hash(token)}, now() + make_interval(hours => ${TOKEN_HOURS}))`;
  return token;
}

/** True exactly once per token, whoever asks at the same time. */
export async function useSignInToken(sql: Query, token: string): Promise<boolean> {
  const rows = await sql`
    update sign_in_tokens set used_at = now()
    where hash = ${hash(token)} and used_at is null and expires_at > now() returning hash`;
  return rows.length > 0;
}

export interface SessionKeys {
  readonly current: number;
  readonly ids: readonly number[];
  derive(keyId: number, purpose: 'session'): Buffer;
}

export interface SessionDeps {
  readonly ring: SessionKeys;
  /** Over https the cookie is Secure and bound to the host (RFC 6265bis `__Host-`). */
  readonly secure: boolean;
  /** Unix milliseconds. */
  readonly now?: () => number;
}

export interface Sessions {
  /** The value of a Set-Cookie header that signs the browser in for 12 hours. */
  open(): string;
  /** Whether a Cookie header holds a live session. */
  isOpen(cookieHeader: string | undefined): boolean;
}

/** Stateless sessions under the ring's 'session' key. There is no early end but the hours and a removed key. */
export function makeSessions({ ring, secure, now = Date.now }: SessionDeps): Sessions {
  const keys = new Map<string, KeyObject>(
    ring.ids.map((id): [string, KeyObject] => [String(id), createSecretKey(ring.derive(id, 'session'))]),
  );
  const name = secure ? '__Host-telltale_session' : 'telltale_session';
  const mac = (key: KeyObject, claim: string): Buffer => createHmac('sha256', key).update(claim).digest();
  return {
    open() {
      const key = keys.get(String(ring.current));
      if (key === undefined) throw new Error('the keyring lacks its own current key');
      const claim = `${ring.current}.${Math.floor(now() / 1000) + SESSION_HOURS * 3600}`;
      const value = `${claim}.${mac(key, claim).toString('base64url')}`;
      return `${name}=${value}; Path=/; Max-Age=${SESSION_HOURS * 3600}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
    },
    isOpen(cookieHeader) {
      return cookies(cookieHeader, name).some((value) => {
        const [id = '', expires = '', signature = ''] = value.split('.');
        const key = keys.get(id);
        if (key === undefined || !/^\d{1,12}$/.test(expires) || Number(expires) * 1000 <= now()) return false;
        const given = Buffer.from(signature, 'base64url');
        const expected = mac(key, `${id}.${expires}`);
        return given.length === expected.length && timingSafeEqual(given, expected);
      });
    },
  };
}

/** Every value sent under this name: another path or port of the host may have set a second one. */
function cookies(header: string | undefined, name: string): readonly string[] {
  return (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
}

function hash(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
