import type { Query } from '../db/pool.ts';
import { type Grant, type GrantProvider, type GrantRow, toGrant } from './grants.ts';

export interface GrantList {
  readonly limit: number;
  readonly offset: number;
  readonly sortBy: 'created_at' | 'updated_at';
  readonly orderBy: 'asc' | 'desc';
  readonly email?: string | undefined;
  readonly state?: 'valid' | 'expired' | undefined;
  readonly providers?: readonly GrantProvider[] | undefined;
  /** Made at or after, and before; Unix seconds. */
  readonly since?: number | undefined;
  readonly before?: number | undefined;
}

/** Deleted grants are not listed. */
export async function listGrants(sql: Query, app: number, list: GrantList): Promise<readonly Grant[]> {
  const column = sql(list.sortBy);
  const order = list.orderBy === 'asc' ? sql`asc` : sql`desc`;
  const rows = await sql<GrantRow[]>`
    select * from grants where app = ${app} and state <> 'deleted'
      ${list.email === undefined ? sql`` : sql`and lower(email) = lower(${list.email})`}
      ${list.state === undefined ? sql`` : sql`and state = ${list.state}`}
      ${list.providers === undefined ? sql`` : sql`and provider = any(${[...list.providers]})`}
      ${list.since === undefined ? sql`` : sql`and created_at >= to_timestamp(${list.since})`}
      ${list.before === undefined ? sql`` : sql`and created_at < to_timestamp(${list.before})`}
    order by ${column} ${order}, serial ${order} limit ${list.limit} offset ${list.offset}`;
  return rows.map(toGrant);
}
