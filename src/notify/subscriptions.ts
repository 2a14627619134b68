import { type Query, retrying, type Sql, type Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { ApiError, invalid } from '../errors.ts';
import { uuidv7 } from '../ids.ts';
import type { DestinationKind, Destinations } from './destination.ts';
import {
  type DestinationStatus,
  destinationNotFound,
  duplicate,
  duplicateOrThrow,
  isServed,
  parseStatus,
  parseTriggers,
  RULES,
  readId,
} from './destination-rules.ts';
import { hastenAll } from './hastening.ts';
import { removePending } from './leftovers.ts';
import { makeSecret } from './sign.ts';

export interface SubscriptionDeps {
  readonly sql: Sql;
  readonly vault: { seal(plain: string, context: string): Buffer };
  readonly destinations: Readonly<Record<DestinationKind, Pick<Destinations[DestinationKind], 'check' | 'verify'>>>;
  /** Instead of the database's clock, by which deliveries and health go. Unix milliseconds. */
  readonly now?: () => number;
  /** Told once one was made active again and what waited for it is due. */
  readonly onActivated?: (() => void) | undefined;
}

/** A destination as its owner sees it. */
export interface Subscription {
  readonly id: string;
  /** As its owner wrote it. */
  readonly address: string;
  readonly description: string;
  readonly triggers: readonly string[];
  readonly status: DestinationStatus;
  readonly notificationEmails: readonly string[];
  readonly compressed: boolean;
  readonly statusUpdatedAt: Date;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface NewSubscription {
  readonly address: string;
  readonly triggers: readonly string[];
  readonly description?: string;
  readonly notificationEmails?: readonly string[];
  readonly compressed?: boolean;
  /** As it was asked for; active by default. */
  readonly status?: string;
}

export type SubscriptionChanges = Partial<NewSubscription>;

/** Asks the far end, then stores the destination, also one that begins paused; a failure leaves nothing behind. A webhook's secret is shown only here. */
export async function createSubscription(
  deps: SubscriptionDeps,
  app: number,
  kind: DestinationKind,
  input: NewSubscription,
): Promise<{ readonly subscription: Subscription; readonly secret: string | null }> {
  const { isSigned } = RULES[kind];
  const triggers = parseTriggers(input.triggers);
  const status = parseStatus(input.status ?? 'active', 'active');
  const normal = parseAddress(deps, kind, input.address);
  refuseOneMore(deps, kind, await listSubscriptions(deps, app, kind), normal);
  await verify(deps, kind, input.address);

  const at = await timeOf(deps);
  const id = uuidv7(at.getTime());
  const secret = isSigned ? makeSecret() : null;
  const [subscription] = await transaction(deps.sql, async (tx) => {
    refuseOneMore(deps, kind, await listAlone(tx, app, kind), normal);
    return await tx<Subscription[]>`
      insert into destinations (app, id, kind, address, description, triggers, status, secret, notification_emails,
        compressed, status_updated_at, created_at, updated_at)
      values (${app}, ${id}, ${kind}, ${input.address}, ${input.description ?? ''}, ${triggers}, ${status},
        ${secret === null ? null : deps.vault.seal(secret, secretContext(id))},
        ${[...(input.notificationEmails ?? [])]}, ${input.compressed ?? false}, ${at}, ${at}, ${at})
      returning ${columns(tx)}`;
  }).catch((error: unknown) => duplicateOrThrow(kind, error));
  if (subscription === undefined) throw new Error('the destination was not stored');
  return { subscription, secret };
}

/** Oldest first. */
export async function listSubscriptions(
  { sql }: { readonly sql: Query },
  app: number,
  kind: DestinationKind,
): Promise<Subscription[]> {
  return sql<Subscription[]>`
    select ${columns(sql)} from destinations where app = ${app} and kind = ${kind} order by id`;
}

export async function getSubscription(
  { sql }: Pick<SubscriptionDeps, 'sql'>,
  app: number,
  kind: DestinationKind,
  name: string,
): Promise<Subscription> {
  const [subscription] = await sql<Subscription[]>`
    select ${columns(sql)} from destinations where app = ${app} and kind = ${kind} and id = ${readId(kind, name)}`;
  if (subscription === undefined) throw destinationNotFound();
  return subscription;
}

/**
 * Changes what is given. A new address of one that is served is verified first, as is any when `active` is asked for; a
 * failure changes nothing. Nothing that failed before a move or return is held against it; after a return all is due.
 */
export async function updateSubscription(
  deps: SubscriptionDeps,
  app: number,
  kind: DestinationKind,
  name: string,
  changes: SubscriptionChanges,
): Promise<Subscription> {
  const { sql } = deps;
  const before = await getSubscription(deps, app, kind, name);
  const address = changes.address ?? before.address;
  const triggers = changes.triggers === undefined ? before.triggers : parseTriggers(changes.triggers);
  const asked = changes.status === undefined ? before.status : parseStatus(changes.status, before.status);
  const moved = address !== before.address;
  const begins = (moved && isServed(asked)) || (asked === 'active' && before.status !== 'active');
  const status = begins ? 'active' : asked;
  const verifies = begins || changes.status === 'active';
  // An address that stays may be older than a rule it breaks: its owner must be able to pause it.
  const normal = moved || verifies ? parseAddress(deps, kind, address) : address;
  if (moved) refuseDuplicate(deps, kind, await listSubscriptions(deps, app, kind), normal, before.id);
  if (verifies) await verify(deps, kind, address);

  const at = await timeOf(deps);
  const [row] = await transaction(sql, async (tx) => {
    if (moved) refuseDuplicate(deps, kind, await listAlone(tx, app, kind), normal, before.id);
    // One that was active stays so since when it was, unless it was called failing while it was asked.
    const active: ReturnType<Sql> = tx`, status = 'active',
      status_updated_at = case status when 'active' then status_updated_at else ${at} end`;
    // Only what was judged above: another change may have come in while the far end was asked.
    return await tx<Subscription[]>`
      update destinations set ${tx({
        updated_at: at,
        ...(changes.address === undefined ? {} : { address }),
        ...(changes.triggers === undefined ? {} : { triggers: [...triggers] }),
        ...(changes.description === undefined ? {} : { description: changes.description }),
        ...(changes.notificationEmails === undefined ? {} : { notification_emails: [...changes.notificationEmails] }),
        ...(changes.compressed === undefined ? {} : { compressed: changes.compressed }),
        ...(begins || status !== before.status ? { status, status_updated_at: at } : {}),
      })} ${verifies && !begins ? active : tx``}
      where app = ${app} and kind = ${kind} and id = ${before.id} and address = ${before.address}
        and (status in ('active', 'failing')) = ${isServed(before.status)}
      returning ${columns(tx)}`;
  }).catch((error: unknown) => duplicateOrThrow(kind, error));
  if (row === undefined) return await updateSubscription(deps, app, kind, name, changes); // judged anew, or not there any more
  if (begins && before.status !== 'active') {
    await hastenAll(sql, app, row.id);
    deps.onActivated?.();
  }
  return row;
}

/** What was still to be delivered to it goes after it, its figures with it; the history of its deliveries stays. */
export async function deleteSubscription(
  { sql }: Pick<SubscriptionDeps, 'sql'>,
  app: number,
  kind: DestinationKind,
  name: string,
): Promise<void> {
  const id = readId(kind, name);
  // Again after a deadlock: what is being settled locks the rows of its figures in an order of its own.
  const remove = async (tx: Tx): Promise<void> => {
    const gone = await tx`
      delete from destinations where app = ${app} and kind = ${kind} and id = ${id} returning id`;
    if (gone.length === 0) throw destinationNotFound();
    await tx`delete from destination_health where app = ${app} and destination_id = ${id}`;
    await tx`delete from destination_counters where app = ${app} and destination_id = ${id}`;
    await tx`delete from destination_notices where app = ${app} and destination_id = ${id}`;
  };
  await retrying(() => transaction(sql, remove));
  await removePending(sql, app, id); // apart: fan-out waits for the destination's lock, and there may be a million
}

/** What the vault binds a destination's secret to. */
export function secretContext(id: string): string {
  return `destination:${id}`;
}

/** The columns that make a `Subscription`. */
export function columns(sql: Query): ReturnType<Sql> {
  return sql`id, address, description, triggers, status, notification_emails as "notificationEmails", compressed,
    status_updated_at as "statusUpdatedAt", created_at as "createdAt", updated_at as "updatedAt"`;
}

/** The database's time: one for all processes, and that of what a destination's health is judged by. */
export async function timeOf({ sql, now }: Pick<SubscriptionDeps, 'sql' | 'now'>): Promise<Date> {
  const [row] = now === undefined ? await sql<{ at: Date }[]>`select now() as at` : [];
  return row?.at ?? new Date(now?.() ?? Date.now());
}

function parseAddress(deps: SubscriptionDeps, kind: DestinationKind, address: string): string {
  const checked = deps.destinations[kind].check(address);
  if ('problem' in checked) throw invalid(RULES[kind].field, checked.problem);
  return checked.normal;
}

async function verify(deps: SubscriptionDeps, kind: DestinationKind, address: string): Promise<void> {
  const problem = await deps.destinations[kind].verify(address);
  if (problem !== null) throw new ApiError(400, '70005', `unable.verify.${RULES[kind].field} : ${problem}`);
}

/** Those of the application, none of which comes or moves until the transaction ends. */
async function listAlone(tx: Tx, app: number, kind: DestinationKind): Promise<Subscription[]> {
  await tx`select from applications where serial = ${app} for no key update`;
  return await listSubscriptions({ sql: tx }, app, kind);
}

function refuseOneMore(
  deps: SubscriptionDeps,
  kind: DestinationKind,
  existing: readonly Subscription[],
  normal: string,
): void {
  const { most, noun } = RULES[kind];
  refuseDuplicate(deps, kind, existing, normal, null);
  if (existing.length >= most) throw new ApiError(400, '70005', `an application may have at most ${most} ${noun}s`);
}

function refuseDuplicate(
  { destinations }: SubscriptionDeps,
  kind: DestinationKind,
  existing: readonly Subscription[],
  normal: string,
  self: string | null,
): void {
  const isSame = (address: string): boolean => {
    const other = destinations[kind].check(address);
    return 'normal' in other && other.normal === normal;
  };
  if (existing.some(({ id, address }) => id !== self && isSame(address))) throw duplicate(kind);
}
