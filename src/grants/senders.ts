import { gather } from '../db/gather.ts';
import type { Sql } from '../db/pool.ts';
import type { Environment } from './applications.ts';
import { found, type Grant, type GrantRow, readIdentifier, toGrant } from './grants.ts';
import { storedSettings, type TrackingSettings } from './settings.ts';

/** A grant together with all else that sending through it needs to know. */
export interface Sender {
  readonly grant: Grant;
  readonly environment: Environment;
  readonly settings: TrackingSettings;
  /** As the vault sealed them; null for none. */
  readonly credentials: Buffer | null;
}

/** As `resolveGrant`. Sends that come at once are looked up together: three queries for each took a fifth of the CPU. */
export type ResolveSender = (app: number, identifier: string) => Promise<Sender>;

interface Key {
  readonly app: number;
  readonly id: string | null;
  readonly email: string | null;
}

interface Row extends GrantRow {
  readonly at: string;
  readonly environment: Environment;
  readonly application_settings: unknown;
  readonly credentials: Buffer | null;
}

const AT_ONCE = 100;

export function makeSenders(sql: Sql): ResolveSender {
  const find = gather<Key, Sender | 'none'>({
    atOnce: AT_ONCE,
    isTheirs: () => false, // a look-up that fails would fail again
    run: async (keys) => {
      const names = keys.map(nameOf);
      const each = new Map(keys.map((key) => [nameOf(key), key]));
      const senders = await read(sql, [...each.values()]);
      const byName = new Map([...each.keys()].map((name, at) => [name, senders[at]]));
      return names.map((name) => byName.get(name) ?? 'none');
    },
  });
  return async (app, identifier) => {
    const named = readIdentifier(identifier);
    const sender = named === null ? 'none' : await find({ app, id: null, email: null, ...named });
    return found(identifier, sender === 'none' ? null : sender);
  };
}

/** In the order of the keys, undefined where there is none. */
async function read(sql: Sql, keys: readonly Key[]): Promise<(Sender | undefined)[]> {
  const rows = await sql<Row[]>`
    with key as (
      select * from unnest(
        ${keys.map(({ app }) => app)}::integer[],
        ${keys.map(({ id }) => id)}::uuid[],
        ${keys.map(({ email }) => email)}::text[]
      ) with ordinality as key (app, id, email, at)
    ), found as (
      select key.at, g.* from key join grants g on g.app = key.app and g.id = key.id
      union all
      select key.at, g.* from key join grants g on g.app = key.app and lower(g.email) = lower(key.email)
    )
    select found.*, a.environment, a.settings as application_settings
    from found join applications a on a.serial = found.app
    where found.state <> 'deleted'`;
  const senders: (Sender | undefined)[] = keys.map(() => undefined);
  for (const row of rows) {
    const { environment, credentials } = row;
    const settings = storedSettings(row.application_settings);
    senders[Number(row.at) - 1] = { grant: toGrant(row), environment, settings, credentials };
  }
  return senders;
}

function nameOf({ app, id, email }: Key): string {
  return `${app} ${id ?? ''} ${email ?? ''}`;
}
