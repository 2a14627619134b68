// What is told of grants: written with the change, read at delivery, when the grant may be another one or gone.
import { emit, type FactDetail } from '../db/outbox.ts';
import type { Tx } from '../db/pool.ts';

export type GrantEvent = keyof typeof TRIGGERS;

/** What is told of a grant; `provider` as it is shown. */
export interface ToldGrant {
  readonly app: number;
  readonly id: string;
  readonly provider: string;
  readonly email: string;
  readonly name: string;
  readonly scope: readonly string[];
  readonly updatedAt: Date;
}

/** The grant as it was when its fact was written. */
export interface GrantDetail {
  /** As shown on the wire. */
  readonly provider: string;
  readonly email: string;
  /** '' where none was known. */
  readonly name: string;
  readonly scope: readonly string[];
  /** Unix seconds. */
  readonly updatedAt: number;
  /** The change was a new sign-in. */
  readonly reauthenticated: boolean;
}

const TRIGGERS = {
  created: 'grant.created',
  reauthenticated: 'grant.updated',
  changed: 'grant.updated',
  expired: 'grant.expired',
  deleted: 'grant.deleted',
} as const;

/** Writes the fact of a change; `grant` is as the change left it. */
export async function tellOfGrant(tx: Tx, event: GrantEvent, grant: ToldGrant): Promise<void> {
  const detail: FactDetail = {
    provider: grant.provider,
    email: grant.email,
    name: grant.name,
    scope: grant.scope,
    updated_at: Math.floor(grant.updatedAt.getTime() / 1000),
    reauthenticated: event === 'reauthenticated',
  };
  const happened = { happenedAt: grant.updatedAt, messageId: null, sequence: null, linkCounts: null };
  await emit(tx, [{ app: grant.app, trigger: TRIGGERS[event], subject: grant.id, detail, ...happened }]);
}

/** What `tellOfGrant` wrote, read back from the database. Null for anything else. */
export function readGrantDetail(stored: unknown): GrantDetail | null {
  if (typeof stored !== 'object' || stored === null) return null;
  const told: { readonly [name: string]: unknown } = { ...stored };
  const { provider, email, name, scope, updated_at: updatedAt, reauthenticated } = told;
  if (typeof provider !== 'string' || typeof email !== 'string' || typeof name !== 'string') return null;
  if (typeof updatedAt !== 'number' || typeof reauthenticated !== 'boolean' || !isTexts(scope)) return null;
  return { provider, email, name, scope, updatedAt, reauthenticated };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((element) => typeof element === 'string');
}
