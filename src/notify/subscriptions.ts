import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { ApiError, invalid } from '../errors.ts';
import { fromWireId, uuidv7 } from '../ids.ts';
import { type PublicUrl, parsePublicUrl } from '../safe-fetch.ts';
import { type ChallengeDeps, challenge } from './challenge.ts';
import { makeSecret } from './sign.ts';
import { isTrigger, TRIGGERS } from './triggers.ts';

export interface SubscriptionDeps extends ChallengeDeps {
  readonly sql: Sql;
  readonly vault: { seal(plain: string, context: string): Buffer };
  readonly now?: () => number;
}

export type WebhookStatus = 'active' | 'failing' | 'failed' | 'paused';

export interface Webhook {
  readonly id: string;
  readonly url: string;
  readonly description: string;
  readonly triggers: readonly string[];
  readonly status: WebhookStatus;
  readonly notificationEmails: readonly string[];
  readonly compressed: boolean;
  readonly statusUpdatedAt: Date;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface WebhookWithSecret {
  readonly webhook: Webhook;
  readonly secret: string;
}

export interface NewWebhook {
  readonly url: string;
  readonly triggers: readonly string[];
  readonly description?: string;
  readonly notificationEmails?: readonly string[];
  readonly compressed?: boolean;
}

export interface WebhookChanges extends Partial<NewWebhook> {
  /** As it was asked for. */
  readonly status?: string;
}

const UNIQUE_VIOLATION = '23505';

/** Challenges the receiver, then stores the webhook; a failure leaves nothing behind. The secret is shown only here. */
export async function createWebhook(
  deps: SubscriptionDeps,
  app: number,
  input: NewWebhook,
): Promise<WebhookWithSecret> {
  const triggers = parseTriggers(input.triggers);
  const url = parseUrl(input.url);
  refuseDuplicate(await listWebhooks(deps, app), url, null);
  await verify(deps, url);

  const now = deps.now?.() ?? Date.now();
  const id = uuidv7(now);
  const secret = makeSecret();
  const at = new Date(now);
  const [row] = await deps.sql<Webhook[]>`
    insert into destinations (app, id, kind, address, description, triggers, status, secret, notification_emails,
      compressed, status_updated_at, created_at, updated_at)
    values (${app}, ${id}, 'webhook', ${input.url}, ${input.description ?? ''}, ${triggers}, 'active',
      ${deps.vault.seal(secret, secretContext(id))}, ${[...(input.notificationEmails ?? [])]},
      ${input.compressed ?? false}, ${at}, ${at}, ${at})
    returning ${webhookColumns(deps.sql)}`.catch(duplicateOrThrow);
  if (row === undefined) throw new Error('the webhook was not stored');
  return { webhook: row, secret };
}

/** Oldest first. */
export async function listWebhooks({ sql }: Pick<SubscriptionDeps, 'sql'>, app: number): Promise<Webhook[]> {
  return sql<Webhook[]>`
    select ${webhookColumns(sql)} from destinations where app = ${app} and kind = 'webhook' order by id`;
}

export async function getWebhook(
  { sql }: Pick<SubscriptionDeps, 'sql'>,
  app: number,
  wireId: string,
): Promise<Webhook> {
  const [row] = await sql<Webhook[]>`
    select ${webhookColumns(sql)} from destinations
    where app = ${app} and kind = 'webhook' and id = ${parseId(wireId)}`;
  if (row === undefined) throw webhookNotFound();
  return row;
}

/** Changes what is given. A new address and a return to `active` are challenged first; a failure changes nothing. */
export async function updateWebhook(
  deps: SubscriptionDeps,
  app: number,
  wireId: string,
  changes: WebhookChanges,
): Promise<Webhook> {
  const { sql } = deps;
  const before = await getWebhook(deps, app, wireId);
  const url = parseUrl(changes.url ?? before.url);
  const triggers = changes.triggers === undefined ? before.triggers : parseTriggers(changes.triggers);
  const status = changes.status === undefined ? before.status : parseStatus(changes.status, before.status);
  const moved = changes.url !== undefined && changes.url !== before.url;
  if (moved) refuseDuplicate(await listWebhooks(deps, app), url, before.id);
  if (status === 'active' && (moved || before.status !== 'active')) await verify(deps, url);

  const at = new Date(deps.now?.() ?? Date.now());
  const [row] = await sql<Webhook[]>`
    update destinations set ${sql({
      updated_at: at,
      ...(changes.url === undefined ? {} : { address: changes.url }),
      ...(changes.triggers === undefined ? {} : { triggers: [...triggers] }),
      ...(changes.description === undefined ? {} : { description: changes.description }),
      ...(changes.notificationEmails === undefined ? {} : { notification_emails: [...changes.notificationEmails] }),
      ...(changes.compressed === undefined ? {} : { compressed: changes.compressed }),
      ...(status === before.status ? {} : { status, status_updated_at: at }),
    })}
    where app = ${app} and kind = 'webhook' and id = ${before.id}
    returning ${webhookColumns(sql)}`.catch(duplicateOrThrow);
  if (row === undefined) throw webhookNotFound();
  return row;
}

/** What was still to be delivered to it goes with it; its history stays. */
export async function deleteWebhook(
  { sql }: Pick<SubscriptionDeps, 'sql'>,
  app: number,
  wireId: string,
): Promise<void> {
  const id = parseId(wireId);
  await transaction(sql, async (tx) => {
    const gone = await tx`
      delete from destinations where app = ${app} and kind = 'webhook' and id = ${id} returning id`;
    if (gone.length === 0) throw webhookNotFound();
    await tx`delete from pending_deliveries where app = ${app} and destination_id = ${id}`;
  });
}

/** What the vault binds a destination's secret to. */
export function secretContext(id: string): string {
  return `destination:${id}`;
}

/** The columns that make a `Webhook`. */
export function webhookColumns(sql: Sql): ReturnType<Sql> {
  return sql`id, address as url, description, triggers, status, notification_emails as "notificationEmails", compressed,
    status_updated_at as "statusUpdatedAt", created_at as "createdAt", updated_at as "updatedAt"`;
}

function parseId(wireId: string): string {
  const id = fromWireId('wh', wireId);
  if (id === null) throw webhookNotFound();
  return id;
}

function parseUrl(text: string): PublicUrl {
  const url = parsePublicUrl(text);
  if (typeof url === 'object') throw invalid('webhook_url', url.problem);
  return url;
}

function parseTriggers(names: readonly string[]): string[] {
  if (names.length === 0) throw invalid('trigger_types', 'must name at least one trigger');
  const unknown = names.find((name) => !isTrigger(name));
  if (unknown !== undefined) {
    throw invalid('trigger_types', `must not contain "${unknown.slice(0, 100)}"; allowed are ${TRIGGERS.join(', ')}`);
  }
  return [...new Set(names)];
}

/** Nylas's pages use three words for `paused` (D26). A client that writes back what it read changes nothing. */
function parseStatus(asked: string, current: WebhookStatus): WebhookStatus {
  if (asked === 'pause' || asked === 'paused' || asked === 'inactive') return 'paused';
  if (asked === 'active' || asked === current) return asked;
  throw invalid('status', 'must be active or paused');
}

async function verify(deps: ChallengeDeps, url: PublicUrl): Promise<void> {
  const problem = await challenge(deps, url);
  if (problem !== null) throw new ApiError(400, '70005', problem);
}

function refuseDuplicate(existing: readonly Webhook[], url: PublicUrl, self: string | null): void {
  if (existing.some((webhook) => webhook.id !== self && parsePublicUrl(webhook.url) === url)) throw duplicate();
}

function duplicateOrThrow(error: unknown): never {
  if (error instanceof Error && 'code' in error && error.code === UNIQUE_VIOLATION) throw duplicate();
  throw error;
}

function duplicate(): ApiError {
  return new ApiError(400, '70005', 'invalid.input.format : webhook_url is used by another webhook of the application');
}

export function webhookNotFound(): ApiError {
  return new ApiError(400, '70000', 'destination.id.not.found : record not found');
}
